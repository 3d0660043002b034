package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// apt installs Debian's PostgreSQL. Debian would also start a server, which apt
// switches off first: we start our own.
func apt(ctx context.Context, out io.Writer) error {
	const file = "/etc/postgresql-common/createcluster.conf"
	fmt.Fprintf(out, "PostgreSQL is not installed: apt-get install postgresql (no system cluster: create_main_cluster = false in %s)\n", file)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := switchOffMainCluster(file); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"update", "-qq"},
		{"install", "-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "postgresql"},
	} {
		if err := quietly(ctx, "", "apt-get", args...); err != nil {
			return err
		}
	}
	return nil
}

func switchOffMainCluster(file string) error {
	const line = "create_main_cluster = false"
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for have := range bytes.Lines(text) {
		if string(bytes.TrimSpace(have)) == line {
			return nil
		}
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	return os.WriteFile(file, append(text, line+"\n"...), 0o644)
}

// quietly runs a command. Its error has what the command printed.
func quietly(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, said)
	}
	return nil
}

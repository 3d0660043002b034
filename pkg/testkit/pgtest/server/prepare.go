package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Find is the folder of the newest PostgreSQL binaries on this machine.
func Find() (string, error) {
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		found = append(found, slices.DeleteFunc(dirs, func(dir string) bool { return !complete(dir) })...)
	}
	if len(found) > 0 {
		return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
	}
	if path, err := exec.LookPath("postgres"); err == nil && complete(filepath.Dir(path)) {
		return filepath.Dir(path), nil
	}
	return "", errors.New("no PostgreSQL on this machine (looked for initdb and postgres in /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin and PATH)")
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// version is the number in a path such as /usr/lib/postgresql/15/bin.
func version(dir string) int {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, filepath.Base(filepath.Dir(dir)))
	n, _ := strconv.Atoi(digits) // none is 0, the oldest
	return n
}

// initialise makes the data folder unless it is there. It is made aside and
// renamed, so that being interrupted leaves none rather than half of one.
func initialise(ctx context.Context, opts Options, as identity) error {
	data, making := filepath.Join(opts.Dir, "data"), filepath.Join(opts.Dir, "data.new")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return err
	}
	if err := as.own(making); err != nil {
		return err
	}
	args := []string{"-D", making, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions"}
	if !opts.Durable {
		args = append(args, "-N")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(opts.Bin, "initdb"), args...) //nolint:gosec // the folder [Find] found
	cmd.SysProcAttr, cmd.Dir, cmd.Env = as.attributes(), opts.Dir, environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(out))
	}
	return os.Rename(making, data)
}

// maxSocketDir keeps the socket's path (folder, "/.s.PGSQL.65535.lock") under
// the kernel's limit of 107 bytes.
const maxSocketDir = 80

// socketDir is where the socket goes: beside the data, or under the system's
// temporary folder where that path is too long or another user cannot get there.
func socketDir(dir string, as identity) (string, error) {
	if sockets := filepath.Join(dir, "run"); len(sockets) <= maxSocketDir && !strings.ContainsAny(sockets, ", ") {
		if err := os.MkdirAll(sockets, 0o700); err != nil {
			return "", err
		}
		return sockets, as.own(sockets)
	}
	sockets, err := os.MkdirTemp("", "tp-pg-")
	if err != nil {
		return "", err
	}
	return sockets, as.own(sockets)
}

// environment is ours without what would lead PostgreSQL elsewhere.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	return append(env, "LC_ALL=C", "TZ=UTC")
}

// blockedByCrash reports whether the log says that processes of a crashed
// server still hold the data.
func (s *Server) blockedByCrash() bool {
	tail := s.logTail()
	return strings.Contains(tail, "pre-existing shared memory block") || strings.Contains(tail, "is still in use")
}

func (s *Server) logTail() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	if len(text) > 2000 {
		text = text[len(text)-2000:]
	}
	return string(bytes.TrimSpace(text))
}

// isZombie reads the state out of /proc/PID/stat: it follows the last ")".
func isZombie(stat []byte) bool {
	_, rest, found := bytes.Cut(stat[max(bytes.LastIndexByte(stat, ')'), 0):], []byte(") "))
	return found && len(rest) > 0 && rest[0] == 'Z'
}

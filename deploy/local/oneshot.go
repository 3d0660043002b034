package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/postgres"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/provision"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// makeKeys is the one-shot step of compose that makes keys and certificates.
func makeKeys(dir string, out io.Writer) error {
	if _, err := provision.MakeKeys(dir); err != nil {
		return err
	}
	fmt.Fprintln(out, "keys and certificates are in", dir)
	return nil
}

// makeDatabases is the one-shot step of compose that makes roles and databases.
func makeDatabases(ctx context.Context, dir string, out io.Writer) error {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return errors.New("DATABASE_URL is not set: it names the server and a role that may create roles and databases")
	}
	if err := provision.MakeDatabases(ctx, url, provision.KeysIn(dir)); err != nil {
		return err
	}
	fmt.Fprintln(out, "the roles and databases exist")
	return nil
}

// testPostgres runs a command with TENANTPILOT_TEST_POSTGRES naming a server
// that runs as long as the command, in memory if the system allows it.
func testPostgres(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("test-postgres: no command to run")
	}
	root, err := findRoot()
	if err != nil {
		return err
	}
	bin, err := postgres.Binaries(ctx, filepath.Join(root, ".cache", "pg"), out)
	if err != nil {
		return err
	}
	dir, err := throwaway()
	if err != nil {
		return err
	}
	own, err := server.Start(ctx, server.Options{Dir: dir, Bin: bin, Disposable: true})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return errors.Join(command(ctx, args, bin, own.URL()), own.Stop(server.Immediate))
}

// throwaway makes a folder that other users can enter, in memory if possible.
func throwaway() (string, error) {
	parent := "/dev/shm"
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "tenantpilot-test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

func command(ctx context.Context, args []string, bin, url string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Tests that start servers of their own find the binaries on PATH.
	cmd.Env = append(os.Environ(), "TENANTPILOT_TEST_POSTGRES="+url, "PATH="+os.Getenv("PATH")+string(os.PathListSeparator)+bin)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exitCode(exit.ExitCode())
	}
	return err
}

// exitCode is the exit code of the command that test-postgres ran.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

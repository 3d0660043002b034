package server_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// TestMain lets the test binary be a process that starts a server and is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("SERVER_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	bin, err := server.Find()
	if err == nil {
		var s *server.Server
		if s, err = server.Start(context.Background(), server.Options{Dir: dir, Bin: bin, Disposable: os.Getenv("SERVER_TEST_KEEP") == ""}); err == nil {
			fmt.Println(s.Pid())
			_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
			if err = s.Stop(server.Fast); err == nil {
				os.Exit(0)
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// shortDir is a folder that everybody can get to: t.TempDir is root's own if we
// are root.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tp-server-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // another user must get through
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	var err error
	opts.Bin, err = server.Find()
	require.NoError(t, err)
	s, err := server.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Stop(server.Immediate) })
	return s
}

func exec1(t *testing.T, s *server.Server, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	require.NoError(t, err)
	defer conn.Close(t.Context()) // of a test
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func TestDataIsKeptBetweenStarts(t *testing.T) {
	t.Parallel()
	opts := server.Options{Dir: filepath.Join(shortDir(t), "pg"), Durable: true}
	for i, mode := range []server.Mode{server.Fast, server.Immediate, server.Kill} {
		s := start(t, opts)
		if i == 0 {
			exec1(t, s, "create table kept ()")
		}
		exec1(t, s, "select from kept")
		require.NoError(t, s.Stop(mode))
	}
}

func TestItRunsWhereOthersCannotGo(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	require.NoError(t, os.Chmod(dir, 0o700)) //nolint:gosec // like the home of root
	s := start(t, server.Options{Dir: filepath.Join(dir, strings.Repeat("long", 30), "a b"), Disposable: true})
	exec1(t, s, "create table t ()")
	exec1(t, s, "create table u ()")
	require.NoError(t, s.Restart(t.Context(), server.Immediate))
	exec1(t, s, "select from t")
}

func TestASettingThatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	bin, err := server.Find()
	require.NoError(t, err)
	_, err = server.Start(t.Context(), server.Options{
		Dir: filepath.Join(shortDir(t), "pg"), Bin: bin, Disposable: true, Settings: map[string]string{"work_mem": "plenty"},
	})
	require.ErrorContains(t, err, "work_mem")
}

func TestNothingIsLeftOfAProcessThatWasKilled(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"disposable": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(shortDir(t), "pg")
			cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test binary
			cmd.Env = append(os.Environ(), "SERVER_TEST_DIR="+dir)
			if keep {
				cmd.Env = append(cmd.Env, "SERVER_TEST_KEEP=1")
			}
			stdin, err := cmd.StdinPipe()
			require.NoError(t, err)
			defer stdin.Close() // of a test
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
			require.Eventually(t, func() bool { return gone(pid) }, 30*time.Second, 10*time.Millisecond)
			require.Eventually(t, func() bool { _, err := os.Stat(dir); return keep || os.IsNotExist(err) }, 30*time.Second, 10*time.Millisecond)
			if keep {
				exec1(t, start(t, server.Options{Dir: dir}), "select 1")
			}
		})
	}
}

// gone reports whether the process has ended; nobody here reaps it, so a zombie counts.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil
}

func TestOneServerAtATime(t *testing.T) {
	t.Parallel()
	opts := server.Options{Dir: filepath.Join(shortDir(t), "pg"), Disposable: true}
	s := start(t, opts)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := server.Start(ctx, opts)
	require.ErrorContains(t, err, "another process")
	exec1(t, s, "select 1")
}

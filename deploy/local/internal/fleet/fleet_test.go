package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the processes of the fleets it tests.
func TestMain(m *testing.M) {
	switch os.Getenv("FLEET_TEST_AS") {
	case "service":
		serve(os.Args[1], os.Args[2], os.Args[3])
	case "broken":
		fmt.Fprintln(os.Stdout, "no database")
		os.Exit(3)
	case "launcher":
		launcher(os.Args[1], os.Args[2])
	default:
		os.Exit(m.Run())
	}
}

// serve serves on addr until it is asked to end, and then writes its name into file.
func serve(name, addr, file string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := http.Server{Addr: addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/die" {
			fmt.Fprintln(os.Stdout, "a last word")
			os.Exit(4)
		}
	})}
	go func() {
		<-ctx.Done()
		s.Close()
	}()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, name)
	}
	if err != nil {
		os.Exit(1)
	}
}

// launcher starts one service, prints its process id, and waits to be killed.
func launcher(dir, addr string) {
	lock, err := Lock(filepath.Join(dir, "lock"))
	if err != nil {
		panic(err)
	}
	guard, err := NewGuard(lock)
	if err != nil {
		panic(err)
	}
	f := New(dir, guard)
	if err := f.Start(context.Background(), service(dir, "orphan", addr)); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, f.children[0].cmd.Process.Pid)
	select {}
}

func service(dir, name, addr string) Process {
	return Process{
		Name: name, Path: os.Args[0], Args: []string{name, addr, filepath.Join(dir, "ended")},
		Env: []string{"FLEET_TEST_AS=service"}, Ready: "http://" + addr + "/",
	}
}

func setup(t *testing.T) (f *Fleet, dir string) {
	t.Helper()
	guard, err := NewGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := guard.Dismiss(); err != nil {
			t.Error(err)
		}
	})
	dir = t.TempDir()
	return New(dir, guard), dir
}

// freeAddr returns an address that no process listens on at the moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStopEndsTheLastStartedFirst(t *testing.T) {
	t.Parallel()
	f, dir := setup(t)
	for _, name := range []string{"first", "second", "third"} {
		if err := f.Start(t.Context(), service(dir, name, freeAddr(t))); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	ended, err := os.ReadFile(filepath.Join(dir, "ended"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(ended), "third\nsecond\nfirst\n"; got != want {
		t.Errorf("ended in the order %q, want %q", got, want)
	}
}

func TestADeathIsReportedWithItsLastWords(t *testing.T) {
	t.Parallel()
	f, dir := setup(t)
	defer f.Stop()
	addr := freeAddr(t)
	if err := f.Start(t.Context(), service(dir, "mortal", addr)); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get("http://" + addr + "/die"); err == nil {
		resp.Body.Close()
	}
	err := f.Wait(t.Context())
	for _, want := range []string{"mortal ended", "exit status 4", "a last word"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Wait: %v, want it to say %q", err, want)
		}
	}
}

func TestAProcessThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	f, _ := setup(t)
	defer f.Stop()
	p := Process{Name: "broken", Path: os.Args[0], Env: []string{"FLEET_TEST_AS=broken"}, Ready: "http://" + freeAddr(t)}
	err := f.Start(t.Context(), p)
	for _, want := range []string{"broken ended before it was ready", "exit status 3", "no database"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start: %v, want it to say %q", err, want)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f, _ := setup(t)
	defer f.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Wait(ctx); err != nil {
		t.Errorf("Wait: %v, want nil", err)
	}
}

func TestAKilledLauncherLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], dir, freeAddr(t))
	cmd.Env = append(os.Environ(), "FLEET_TEST_AS=launcher")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Process.Kill(), ignoreKilled(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	// The guard holds the lock until it has ended the orphan.
	eventually(t, func() bool {
		lock, err := Lock(filepath.Join(dir, "lock"))
		if err != nil {
			return false
		}
		defer lock.Close()
		return true
	})
	if alive(orphan) {
		t.Errorf("process %d outlived its launcher and the lock", orphan)
	}
}

func ignoreKilled(err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	return err
}

// alive reports whether pid runs. A process that has ended and waits for its parent does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it has not happened within 10 s")
		}
	}
}

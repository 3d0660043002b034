package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// guardian is a shell that outlives us and cleans up: it reads a pipe that only
// we can write to, so it wakes when we release it or die, even by kill -9.
type guardian struct{ release func() }

// The pid is read when it matters: a server that was stopped has removed its
// file, and a restarted one has written another. A server works in its data
// folder, which tells it from a stranger who was given the pid of a dead one.
const vigil = `
read -r _
[ "$2" = disposable ] && signal=QUIT || signal=INT
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) || break
	[ "$(readlink "/proc/$pid/cwd")" = "$1/data" ] || break
	kill -"$signal" "$pid" 2>/dev/null || break
	sleep 0.2
done
if [ "$2" = disposable ]; then rm -rf "$1"; fi
case "$3" in "$1"/*) ;; *) rm -rf "$3" ;; esac
`

func guard(ctx context.Context, opts Options, sockets string) (*guardian, error) {
	turn, err := takeTurn(ctx, opts.Dir)
	if err != nil {
		return nil, err
	}
	defer turn.Close()     // the guardian has its own
	r, w, err := os.Pipe() // both ends close on exec, so no other child keeps it open
	if err != nil {
		return nil, err
	}
	defer r.Close() // the guardian has its own
	keep := "kept"
	if opts.Disposable {
		keep = "disposable"
	}
	cmd := exec.Command("/bin/sh", "-c", vigil, "guardian", opts.Dir, keep, sockets) //nolint:gosec,noctx // it outlives us
	cmd.Stdin, cmd.Dir, cmd.ExtraFiles = r, filepath.Dir(opts.Dir), []*os.File{turn}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, err
	}
	return &guardian{release: sync.OnceFunc(func() {
		_ = w.Close()
		_ = cmd.Wait()
	})}, nil
}

// takeTurn locks dir for as long as the file, or a guardian's copy of it, is
// open. A guardian that still cleans up after a process that died would
// otherwise end the next server.
func takeTurn(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "guardian.lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the caller's folder
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a file descriptor fits
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || pause.For(ctx, 20*time.Millisecond) != nil {
			_ = f.Close()
			return nil, fmt.Errorf("another process runs a server there: %w", err)
		}
	}
}

package fleet

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// watch reads process groups from its standard input. If the input ends without the
// word "done", the launcher was killed, and watch ends the groups, the newest first.
const watch = `trap '' INT TERM HUP
groups=
while read -r group; do
	[ "$group" = done ] && exit 0
	groups="$group $groups"
done
for group in $groups; do kill -TERM "-$group" 2>/dev/null; done
for second in 1 2 3 4 5; do
	left=
	for group in $groups; do kill -0 "-$group" 2>/dev/null && left=$group; done
	[ -z "$left" ] && exit 0
	sleep 1
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
`

// Guard is a small process that ends what the launcher started if the launcher is
// killed before it can do so itself.
type Guard struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// NewGuard starts a guard. The guard keeps the file held open until it ends, so that a
// lock on the file is free only when the last process has ended.
func NewGuard(held *os.File) (*Guard, error) {
	cmd := exec.Command("/bin/sh", "-c", watch)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for the launcher
	if held != nil {
		cmd.ExtraFiles = []*os.File{held}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &Guard{cmd: cmd, in: in}, nil
}

// Watch puts the process group under the guard.
func (g *Guard) Watch(group int) error {
	_, err := fmt.Fprintln(g.in, group)
	return err
}

// Dismiss ends the guard and nothing else.
func (g *Guard) Dismiss() error {
	_, err := fmt.Fprintln(g.in, "done")
	g.in.Close()
	if waited := g.cmd.Wait(); err == nil {
		err = waited
	}
	return err
}

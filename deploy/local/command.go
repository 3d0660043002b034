package local

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/fleet"
)

// once runs a process to its end.
func once(ctx context.Context, p fleet.Process) error {
	cmd := exec.CommandContext(ctx, p.Path, p.Args...)
	cmd.Env = append(os.Environ(), p.Env...)
	return quietly(cmd, p.Name+" "+p.Args[0])
}

// quietly runs cmd. Its error has what cmd printed.
func quietly(cmd *exec.Cmd, what string) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C ends it through ctx
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, bytes.TrimSpace(out))
	}
	return nil
}

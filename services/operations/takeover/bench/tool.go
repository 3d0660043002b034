package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover"
)

// spent is what a process used.
type spent struct {
	elapsed, cpu time.Duration
	memory       int64 // its peak, in bytes
}

// place holds the addresses of one takeover: the databases, and tenancy if it is needed.
type place struct {
	legacy, operations string
	tenancy            string
}

// takeover runs a stage of the tool as an operator does, in a process of its own.
func (w *world) takeover(ctx context.Context, at place, stage ...string) (spent, error) {
	self, err := os.Executable()
	if err != nil {
		return spent{}, err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, self, append([]string{toolArgument}, stage...)...) //nolint:gosec // our own binary
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(),
		"TAKEOVER_LEGACY_URL="+at.legacy, "TAKEOVER_OPERATIONS_URL="+at.operations, "TAKEOVER_TENANCY_ADDRESS="+at.tenancy,
		"TAKEOVER_TLS_CERT="+w.ca.CertFile(toolArgument), "TAKEOVER_TLS_KEY="+w.ca.KeyFile(toolArgument), "TAKEOVER_TLS_CA="+w.ca.RootFile(),
		"TAKEOVER_REPORTS="+w.file("reports"))
	began := time.Now()
	err = cmd.Run()
	s := spent{elapsed: time.Since(began)}
	if err != nil {
		return s, fmt.Errorf("takeover %s: %w\n%s", stage[0], err, bytes.TrimSpace(said.Bytes()))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	_, most, ok := strings.Cut(said.String(), memorySaid)
	if !ok {
		return s, fmt.Errorf("takeover %s does not say how much memory it took", stage[0])
	}
	_, err = fmt.Sscan(most, &s.memory)
	return s, err
}

// memorySaid begins the last line of the tool here. The tool reports its own peak, because
// the kernel tells a parent at least its own peak as that of a child.
const memorySaid = "bytes of memory at most: "

// tool runs this command as the tool.
func tool(ctx context.Context, stage []string) error {
	command := takeover.Command()
	command.SetArgs(stage)
	if err := command.ExecuteContext(ctx); err != nil {
		return err
	}
	most, err := measure.PeakMemory()
	fmt.Fprintf(os.Stderr, "%s%d\n", memorySaid, most)
	return err
}

// Package fleet starts the processes of one machine in order, each when the one
// before it is ready, and ends them in reverse. It knows no service by name.
package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	readyLimit = 30 * time.Second // a process that is not ready by then has failed
	stopLimit  = 15 * time.Second // a process that has not ended by then is killed
	readyPoll  = 25 * time.Millisecond
	tailLines  = 15
)

// Process is what to run and how to know that it is ready.
type Process struct {
	Name  string
	Path  string
	Args  []string
	Env   []string // added to the launcher's own environment
	Ready string   // a URL whose status is 200 when it is ready
	HTTP  *http.Client
}

// child is a started process.
type child struct {
	Process
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed once it has ended and err is set
	err  error
}

// start runs p with its output in dir/<name>.log.
func start(p Process, dir string, guard *Guard) (*child, error) {
	c := &child{Process: p, log: filepath.Join(dir, p.Name+".log"), done: make(chan struct{})}
	out, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own descriptor
	c.cmd = exec.Command(p.Path, p.Args...)
	c.cmd.Env = append(os.Environ(), p.Env...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	// A group of its own: Ctrl-C must not reach it directly, because we end processes in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	if err := guard.Watch(c.cmd.Process.Pid); err != nil {
		c.stop()
		return nil, fmt.Errorf("guard %s: %w", p.Name, err)
	}
	return c, nil
}

// ready waits until c is ready. It returns an error if c ends or the limit passes before that.
func (c *child) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		last := c.ask(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-c.done:
			return c.failure("ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("%w; %w", c.failure("is not ready"), last)
		case <-tick.C:
		}
	}
}

func (c *child) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Ready, nil)
	if err != nil {
		return err
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 512))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s", c.Ready, resp.Status, bytes.TrimSpace(body))
	}
	return nil
}

// stop asks c to end, and kills it if it does not.
func (c *child) stop() {
	group := -c.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // fails if the process has ended
	select {
	case <-c.done:
	case <-time.After(stopLimit):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-c.done
	}
}

// failure returns an error with what happened to c and the end of its log.
func (c *child) failure(what string) error {
	if c.err != nil {
		what += " (" + c.err.Error() + ")"
	}
	return fmt.Errorf("%s %s; the end of %s:\n%s", c.Name, what, c.log, tail(c.log))
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return "  " + strings.Join(lines, "\n  ")
}

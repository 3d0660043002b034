// Package build compiles commands with `go build` and shows how far it is: on a
// fresh machine that takes minutes, most of them for libraries.
//
// It needs nothing but the standard library, so that it is itself compiled in
// seconds.
package build

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Run builds the commands into the folder bin, and writes to out what it does.
func Run(ctx context.Context, bin string, commands []string, out *os.File) error {
	began := time.Now()
	p := newProgress(out, isTerminal(out), time.Now)
	p.say("looking for what to compile")
	total, err := stale(ctx, commands, p)
	if err != nil {
		return err
	}
	p.total = total
	p.say(fmt.Sprintf("0 of %d packages", total))
	args := append([]string{"build", "-v", "-o", bin + string(os.PathSeparator)}, commands...)
	if err := stream(exec.CommandContext(ctx, "go", args...), p); err != nil {
		return err
	}
	p.clear()
	fmt.Fprintf(out, "%-22s %5.1f s\n", "build", time.Since(began).Seconds())
	return nil
}

// stale returns how many packages `go build` will compile. It downloads modules
// that are missing.
func stale(ctx context.Context, commands []string, p *progress) (int, error) {
	args := append([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, commands...)
	cmd := exec.CommandContext(ctx, "go", args...)
	var list bytes.Buffer
	cmd.Stdout = &list
	err := stream(cmd, p)
	return len(strings.Fields(list.String())), err
}

// stream runs a go command and shows each line of its standard error as progress.
// If it fails, the error has the lines that are no progress.
func stream(cmd *exec.Cmd, p *progress) error {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	said := p.follow(lines, tick.C)
	if err := cmd.Wait(); err != nil {
		p.clear()
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args[:2], " "), err, strings.Join(said, "\n"))
	}
	return nil
}

// follow shows the lines of a go command as progress until lines is closed, and
// returns those that are something else.
func (p *progress) follow(lines <-chan string, tick <-chan time.Time) []string {
	var said []string
	for {
		select {
		case <-tick:
			p.show()
		case line, ok := <-lines:
			if !ok {
				return said
			}
			if !p.line(line) {
				said = append(said, line)
			}
		}
	}
}

// line reports whether a line of a go command is progress, and shows it if so.
func (p *progress) line(line string) bool {
	module, downloads := strings.CutPrefix(line, "go: downloading ")
	switch {
	case downloads:
		p.say("downloading " + module)
	case isPackage(line):
		p.compiled(line)
	default:
		return false
	}
	return true
}

// isPackage reports whether `go build -v` printed the path of a package that it
// compiles: one word, unlike a message.
func isPackage(line string) bool { return line != "" && !strings.ContainsAny(line, " \t:") }

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package build

import (
	"fmt"
	"io"
	"time"
)

// between is the time between two lines of a log.
const between = 5 * time.Second

// progress shows the newest thing that happened. On a terminal it is one line that
// changes; elsewhere it is a line now and then.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	what  string // happens now
	total int    // packages to compile
	done  int
	began time.Time
	last  time.Time // when the last line of a log was written
}

func newProgress(out io.Writer, terminal bool, now func() time.Time) *progress {
	return &progress{out: out, terminal: terminal, now: now, began: now(), last: now()}
}

// compiled counts a package that has been compiled.
func (p *progress) compiled(name string) {
	p.done++
	if p.done >= p.total {
		name = "linking"
	}
	p.say(fmt.Sprintf("%d of %d packages, %s", p.done, max(p.total, p.done), name))
}

// say shows what happens now.
func (p *progress) say(what string) {
	p.what = what
	p.show()
}

// show writes what happens now, and since when the build has been going on: while
// something is linked nothing else would move.
func (p *progress) show() {
	const width = 76 // of a terminal's line: a longer one could not be written over
	now := p.now()
	text := []rune(fmt.Sprintf("build: %3.0f s, %s", now.Sub(p.began).Seconds(), p.what))
	switch {
	case p.terminal:
		fmt.Fprintf(p.out, "\r\x1b[K%s", string(text[:min(len(text), width)]))
	case now.Sub(p.last) >= between:
		p.last = now
		fmt.Fprintln(p.out, string(text))
	}
}

// clear removes the line that changes.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

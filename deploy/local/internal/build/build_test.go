package build

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const goSays = `go: downloading golang.org/x/net v0.46.0
internal/abi
google.golang.org/grpc
# example.com/broken
broken.go:3:8: undefined: x
`

// follow shows lines, each of which came a while after the one before it.
func follow(p *progress, text string) []string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for line := range strings.Lines(text) {
			lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	return p.follow(lines, nil)
}

// clock returns a clock that is three seconds later each time it is read.
func clock() func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time { now = now.Add(3 * time.Second); return now }
}

func TestALogHasALineNowAndThen(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := newProgress(&out, false, clock())
	p.total = 9
	said := follow(p, goSays)
	p.show() // nothing new was told, but time goes on
	if want := "build:   9 s, 1 of 9 packages, internal/abi\nbuild:  15 s, 2 of 9 packages, google.golang.org/grpc\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if want := []string{"# example.com/broken", "broken.go:3:8: undefined: x"}; !slices.Equal(said, want) {
		t.Errorf("kept %q, want %q", said, want)
	}
}

func TestATerminalHasOneLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := newProgress(&out, true, clock())
	p.total = 3
	follow(p, "a\n"+strings.Repeat("long/", 40)+"\n")
	p.show()
	p.clear()
	if strings.Contains(out.String(), "\n") || strings.Count(out.String(), "\r\x1b[K") != 4 {
		t.Errorf("got %q, want a line that is written over", out.String())
	}
	for part := range strings.SplitSeq(out.String(), "\r\x1b[K") {
		if len(part) > 76 {
			t.Errorf("%q does not fit", part)
		}
	}
}

func TestWhatDoesNotCompileIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte("package main\n\nfunc main() { undefined() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := Run(t.Context(), dir, []string{file}, out); err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("got %v, want the compiler's message", err)
	}
}

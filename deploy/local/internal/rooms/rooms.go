// Package rooms checks who imports whom. Its rules are in rules.go: each names a
// kind of folder and what Go files there must not import, and why. A new service
// needs no rule of its own.
//
// It reads import lines and nothing else, so it is fast and sees files that do not
// compile. What the linters check stands in .golangci.yml.
package rooms

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path that every module of the house begins with.
const module = "github.com/tenantpilot/tenantpilot/"

// file is a Go file: its folder, seen from the root, and what it imports.
type file struct {
	name    string // with its folder
	dir     string
	test    bool
	imports []imported
}

type imported struct {
	path string
	line int
}

// Check returns a sentence for each import below root that a rule forbids, sorted by
// file and line.
func Check(root fs.FS) ([]string, error) {
	files, err := read(root)
	if err != nil {
		return nil, err
	}
	h := newHouse(files)
	var found []string
	for _, f := range files {
		for _, i := range f.imports {
			if why := h.forbids(f, i.path); why != "" {
				found = append(found, fmt.Sprintf("%s:%d: imports %s: %s", f.name, i.line, i.path, why))
			}
		}
	}
	return found, nil
}

func read(root fs.FS) ([]file, error) {
	var files []file
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(name, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		f, err := readFile(root, name)
		files = append(files, f)
		return err
	})
	return files, err
}

// skipped reports whether a folder holds no code of ours.
func skipped(dir, name string) bool {
	return dir == "gen" || dir == "tools" || name == "testdata" || dir != "." && strings.HasPrefix(name, ".")
}

func readFile(root fs.FS, name string) (file, error) {
	f := file{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go")}
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return f, err
	}
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, name, text, parser.ImportsOnly)
	if err != nil {
		return f, err
	}
	for _, spec := range syntax.Imports {
		imports, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, err
		}
		f.imports = append(f.imports, imported{path: imports, line: positions.Position(spec.Pos()).Line})
	}
	return f, nil
}

// house is what the rules need to know about the whole.
type house struct {
	waits map[string]bool // folders that import context outside of tests
}

func newHouse(files []file) house {
	h := house{waits: map[string]bool{}}
	for _, f := range files {
		if !f.test && slices.ContainsFunc(f.imports, func(i imported) bool { return i.path == "context" }) {
			h.waits[f.dir] = true
		}
	}
	return h
}

// forbids returns why f must not import what path names, or "".
func (h house) forbids(f file, path string) string {
	for _, r := range rules {
		if r.tests != always && f.test {
			continue
		}
		if r.room(h, f.dir) {
			if why := r.forbids(f, path); why != "" {
				return why
			}
		}
	}
	return ""
}

// within reports whether path is one of roots, or below one.
func within(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

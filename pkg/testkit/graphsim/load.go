package graphsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
)

// Report says what became of the files of a loaded tenant.
type Report struct {
	Loaded   []LoadedFile   `json:"loaded"`
	Rejected []RejectedFile `json:"rejected"`
	Totals   map[string]int `json:"totals"` // objects by type
}

// LoadedFile is an object that was recognised, and where it came from.
type LoadedFile struct {
	Path  string   `json:"path"` // with [n] where a file holds several
	Type  string   `json:"type"`
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Notes []string `json:"notes,omitempty"` // what had to be settled: a made id, a second object of one id
}

// RejectedFile is a file, or an object in one, that is not served, and why.
type RejectedFile struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func (r Report) log(ctx context.Context, log *slog.Logger) {
	for _, f := range r.Loaded {
		for _, note := range f.Notes {
			log.InfoContext(ctx, "loaded with a change", "path", f.Path, "type", f.Type, "note", note)
		}
	}
	for _, f := range r.Rejected {
		log.WarnContext(ctx, "not loaded", "path", f.Path, "reason", f.Reason)
	}
	for _, k := range kind.All() {
		if n := r.Totals[k.Name]; n > 0 {
			log.InfoContext(ctx, "loaded", "type", k.Name, "objects", n)
		}
	}
}

// maxFile is far above the size of any exported policy.
const maxFile = 64 << 20

// loader turns folders into a tenant: first every document is read and
// recognised, then parts find their owners, since their order means nothing.
type loader struct {
	tenant *Tenant
	report *Report
	owners []*found
	parts  []*found
}

// found is one object or part out of a file.
type found struct {
	path  string // to name it by
	file  string // without [n]
	place string // relative path and number: what a made id is made of
	raw   json.RawMessage
	els   []json.RawMessage // of a part
	kind.Verdict
	doc  *kind.Document
	note string
	id   string // as the file has it, later as served
}

func (t *Tenant) load(dirs []string, report *Report) error {
	l := &loader{tenant: t, report: report}
	if report.Totals == nil {
		report.Totals = map[string]int{}
	}
	for _, dir := range dirs {
		if err := l.walk(dir); err != nil {
			return err
		}
	}
	l.attach()
	for _, o := range l.owners {
		l.shelve(o)
	}
	return nil
}

func (l *loader) walk(dir string) error {
	dir, err := filepath.EvalSymlinks(dir) // a walk does not enter a link
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("load: %s is not a folder", dir)
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return fmt.Errorf("load: %w", err)
		case err != nil:
			l.reject(path, "cannot be read: "+reasonOf(err))
			return nil
		case d.IsDir():
			if path != dir && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			rel = path
		}
		l.file(path, filepath.ToSlash(rel), d)
		return nil
	})
}

func (l *loader) file(path, rel string, d fs.DirEntry) {
	info, err := d.Info()
	switch {
	case err != nil:
		l.reject(path, "cannot be read: "+reasonOf(err))
		return
	case !info.Mode().IsRegular():
		l.reject(path, "not a regular file")
		return
	case !strings.EqualFold(filepath.Ext(path), ".json"):
		l.reject(path, "not a .json file")
		return
	case info.Size() > maxFile:
		l.reject(path, fmt.Sprintf("%d MiB is too large for a policy", info.Size()>>20))
		return
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		l.reject(path, "cannot be read: "+reasonOf(err))
		return
	}
	docs, reason := kind.Unwrap(raw)
	if reason != "" {
		l.reject(path, reason)
		return
	}
	for i, d := range docs {
		f := &found{path: path, file: path, place: fmt.Sprintf("%s\n%d", rel, i), raw: d.Raw, els: d.Els, Verdict: d.Classify()}
		if f.els == nil {
			f.els = []json.RawMessage{d.Raw}
		}
		if d.Raw != nil && d.Wrapped {
			f.path = fmt.Sprintf("%s[%d]", path, i)
		}
		if d.More {
			f.note = "the file is one page of a list that went on"
		}
		l.sort(f)
	}
}

func (l *loader) sort(f *found) {
	switch {
	case f.Reason != "":
		l.reject(f.path, f.Reason)
	case f.Kind == nil:
		l.parts = append(l.parts, f)
	default:
		var err error
		if f.doc, f.id, err = kind.NewDocument(f.Kind, f.raw); err != nil {
			l.reject(f.path, err.Error())
			return
		}
		l.owners = append(l.owners, f)
	}
}

func (l *loader) reject(path, reason string) {
	l.report.Rejected = append(l.report.Rejected, RejectedFile{Path: path, Reason: reason})
}

// reasonOf returns an error of the file system without its path, which stands
// beside it.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

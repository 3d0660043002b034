package graphsim

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// partName matches the names that export tools give to a file beside the policy's
// own: "Name_Settings".
var partName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^(.*?)[ _.-]*(assignment|` + strings.Join(kind.PartNames(), "|") + `)$`)
})

// partCalled returns the navigation property that a file or folder is named
// after, or "".
func partCalled(name string) string {
	if strings.EqualFold(name, "assignment") {
		return kind.Assignments
	}
	i := slices.IndexFunc(kind.PartNames(), func(part string) bool { return strings.EqualFold(part, name) })
	if i < 0 {
		return ""
	}
	return kind.PartNames()[i]
}

// named completes a part from its place: what its own content left open.
func (f *found) named() (part, stem, dir string) {
	part = f.Part
	dir = filepath.Dir(f.file)
	stem = strings.TrimSuffix(filepath.Base(f.file), filepath.Ext(f.file))
	if m := partName().FindStringSubmatch(stem); m != nil && m[1] != "" {
		stem = m[1]
		if part == "" {
			part = partCalled(m[2])
		}
		return part, stem, dir
	}
	if folder := partCalled(filepath.Base(dir)); folder != "" {
		if part == "" {
			part = folder
		}
		return part, stem, filepath.Dir(dir)
	}
	return part, stem, dir
}

// attach gives every part to the object it belongs to.
func (l *loader) attach() {
	for _, p := range l.parts {
		part, stem, dir := p.named()
		if part == "" {
			l.reject(p.path, "an empty array")
			continue
		}
		o, reason := l.ownerOf(p, stem, dir)
		switch {
		case o == nil:
			l.reject(p.path, part+" "+reason)
		case o.doc.Navs[part] != nil:
			l.reject(p.path, fmt.Sprintf("%s of %s are there already", part, o.path))
		default:
			if _, ok := o.Kind.Nav(part); !ok {
				l.reject(p.path, fmt.Sprintf("%s is no part of %s", part, o.Kind.Name))
				continue
			}
			o.doc.Navs[part] = p.els
		}
	}
}

// ownerOf finds a part's object by the id it names, else by the file's name.
func (l *loader) ownerOf(p *found, stem, dir string) (owner *found, reason string) {
	var byID, byName []*found
	for _, o := range l.owners {
		switch {
		case p.Owner != "" && o.id == p.Owner:
			byID = append(byID, o)
		case sameFile(o.file, stem, dir):
			byName = append(byName, o)
		}
	}
	for _, o := range byID {
		if sameFile(o.file, stem, dir) {
			return o, ""
		}
	}
	switch {
	case len(byID) == 1:
		return byID[0], ""
	case len(byID) > 1:
		return nil, "of an id several objects have"
	case len(byName) == 1:
		return byName[0], ""
	case p.Owner != "":
		return nil, "of " + p.Owner + ", which was not loaded"
	}
	return nil, "of no object loaded: nothing beside it is called " + stem
}

func sameFile(file, stem, dir string) bool {
	return filepath.Dir(file) == dir && strings.EqualFold(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), stem)
}

// shelve puts a complete object into the tenant.
func (l *loader) shelve(o *found) {
	out := LoadedFile{Path: o.path, Type: o.Kind.Name, Name: rawjson.Text(o.raw, o.Kind.NameProperty)}
	out.note(o.note)
	for _, n := range o.Kind.Navs {
		note, reason := count(o.doc, n)
		if reason != "" {
			l.reject(o.path, reason)
			return
		}
		out.note(note)
		if len(n.Below) > 0 {
			addIDs(o.doc.Navs[n.Name], o.place)
		}
	}
	if reason := missingContent(o); reason != "" {
		l.reject(o.path, reason)
		return
	}
	out.note(l.settleID(o))
	shelf := l.tenant.kinds[o.Kind.Name]
	shelf.add(&entry{id: o.id, doc: o.doc})
	out.ID = o.id
	l.report.Loaded = append(l.report.Loaded, out)
	l.report.Totals[o.Kind.Name]++
}

func (f *LoadedFile) note(n string) {
	if n != "" {
		f.Notes = append(f.Notes, n)
	}
}

// count makes the length of a collection and the number that the object states
// agree. An export without such a collection is only half a policy; serving it
// would look like a policy that was emptied.
func count(d *kind.Document, n kind.Nav) (note, reason string) {
	els, stated := d.Navs[n.Name], rawjson.Property(d.Body, n.Count)
	switch {
	case n.Count == "":
		return "", ""
	case els == nil && len(stated) > 0 && string(stated) != "0":
		return "", fmt.Sprintf("%s is %s, but its %s are neither inline nor beside it", n.Count, stated, n.Name)
	case els == nil && len(stated) == 0:
		return "", fmt.Sprintf("its %s are neither inline nor beside it", n.Name)
	case string(stated) == strconv.Itoa(len(els)):
		return "", ""
	}
	d.Body = rawjson.WithProperty(d.Body, n.Count, rawjson.Encode(len(els)))
	if stated == nil {
		return fmt.Sprintf("%s %d added", n.Count, len(els)), ""
	}
	return fmt.Sprintf("%s %s corrected to %d: the export may be incomplete", n.Count, stated, len(els)), ""
}

// missingContent returns what a script lacks that was exported without its text:
// from a list, or by a tool that keeps the text in another file.
func missingContent(o *found) string {
	if o.Kind.BuiltIn != "" && string(rawjson.Property(o.raw, o.Kind.BuiltIn)) == "true" {
		return ""
	}
	for _, name := range o.Kind.Content {
		if rawjson.Text(o.raw, name) == "" {
			return name + " is not in it"
		}
	}
	return ""
}

// addIDs gives elements without an id one: the collections under them could not
// be asked for otherwise.
func addIDs(els []json.RawMessage, place string) {
	for i, e := range els {
		if rawjson.Text(e, "id") == "" {
			els[i] = rawjson.WithProperty(e, "id", rawjson.Encode(kind.GUID("element", place, strconv.Itoa(i))))
		}
	}
}

// settleID gives an object without an id, or with one that is taken, an id
// derived from its place: the same folder always gives the same ids.
func (l *loader) settleID(o *found) (note string) {
	shelf := l.tenant.kinds[o.Kind.Name]
	asked := o.id
	for try := 0; o.id == "" || shelf.byID[o.id] != nil; try++ {
		o.id = kind.GUID("loaded", o.Kind.Name, o.place, strconv.Itoa(try))
	}
	if o.id == asked {
		return ""
	}
	o.doc.Body = rawjson.WithProperty(o.doc.Body, "id", rawjson.Encode(o.id))
	if asked == "" {
		return "no id: made " + o.id
	}
	return fmt.Sprintf("id %s is taken: served as %s", asked, o.id)
}

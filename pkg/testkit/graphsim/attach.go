package graphsim

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// partName is how export tools name the file beside a policy's own.
var partName = regexp.MustCompile(`(?i)^(.*?)[ _.-]*(settings|assignments?|definitionvalues)$`)

var partFolders = map[string]string{
	"settings": "settings", "assignments": "assignments", "assignment": "assignments", "definitionvalues": "definitionValues",
}

// named completes a part from its place: what its own content left open.
func (f *found) named() (part, stem, dir string) {
	part = f.part
	dir = filepath.Dir(f.file)
	stem = strings.TrimSuffix(filepath.Base(f.file), filepath.Ext(f.file))
	if m := partName.FindStringSubmatch(stem); m != nil && m[1] != "" {
		stem = m[1]
		if part == "" {
			part = partFolders[strings.ToLower(m[2])]
		}
		return part, stem, dir
	}
	if folder := partFolders[strings.ToLower(filepath.Base(dir))]; folder != "" {
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
		case o.doc.navs[part] != nil:
			l.reject(p.path, fmt.Sprintf("%s of %s are there already", part, o.path))
		default:
			if _, ok := o.kind.nav(part); !ok {
				l.reject(p.path, fmt.Sprintf("%s is no part of %s", part, o.kind.name))
				continue
			}
			o.doc.navs[part] = p.els
		}
	}
}

// ownerOf finds a part's object by the id it names, else by the file's name.
func (l *loader) ownerOf(p *found, stem, dir string) (owner *found, reason string) {
	var byID, byName []*found
	for _, o := range l.owners {
		switch {
		case p.owner != "" && o.id == p.owner:
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
	case p.owner != "":
		return nil, "of " + p.owner + ", which was not loaded"
	}
	return nil, "of no object loaded: nothing beside it is called " + stem
}

func sameFile(file, stem, dir string) bool {
	return filepath.Dir(file) == dir && strings.EqualFold(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), stem)
}

// shelve puts a complete object into the tenant.
func (l *loader) shelve(o *found) {
	out := LoadedFile{Path: o.path, Type: o.kind.name, Name: text(o.raw, o.kind.nameKey)}
	out.note(o.note)
	if o.kind.name == "configurationPolicies" {
		note, reason := countSettings(o.doc)
		if reason != "" {
			l.reject(o.path, reason)
			return
		}
		out.note(note)
	}
	if reason := missingContent(o); reason != "" {
		l.reject(o.path, reason)
		return
	}
	addIDs(o.doc.navs[definitions.name], o.place)
	out.note(l.settleID(o))
	shelf := l.tenant.kinds[o.kind.name]
	shelf.add(&entry{id: o.id, doc: o.doc})
	out.ID = o.id
	l.report.Loaded = append(l.report.Loaded, out)
	l.report.Totals[o.kind.name]++
}

func (f *LoadedFile) note(n string) {
	if n != "" {
		f.Notes = append(f.Notes, n)
	}
}

// countSettings makes settingCount and settings agree. An export without any
// settings is only half a policy: serving it would look like a policy emptied.
func countSettings(d *document) (note, reason string) {
	els := d.navs[settings.name]
	stated := property(d.body, "settingCount")
	switch {
	case els == nil && len(stated) > 0 && string(stated) != "0":
		return "", fmt.Sprintf("settingCount is %s, but its settings are neither inline nor beside it", stated)
	case els == nil && len(stated) == 0:
		return "", "its settings are neither inline nor beside it"
	case string(stated) == strconv.Itoa(len(els)):
		return "", ""
	}
	d.body = withProperty(d.body, "settingCount", encode(len(els)))
	if stated == nil {
		return fmt.Sprintf("settingCount %d added", len(els)), ""
	}
	return fmt.Sprintf("settingCount %s corrected to %d: the export may be incomplete", stated, len(els)), ""
}

// missingContent finds a script exported without its script, as lists show them
// and as tools write them that keep the text in a file of its own.
func missingContent(o *found) string {
	if len(o.kind.listCuts) == 0 || string(property(o.raw, "isGlobalScript")) == "true" {
		return ""
	}
	if text(o.raw, o.kind.listCuts[0]) == "" {
		return o.kind.listCuts[0] + " is not in it"
	}
	return ""
}

// addIDs gives definition values without ids some: their presentation values
// could not be asked for otherwise.
func addIDs(els []json.RawMessage, place string) {
	for i, e := range els {
		if text(e, "id") == "" {
			els[i] = withProperty(e, "id", encode(guid("element", place, strconv.Itoa(i))))
		}
	}
}

// settleID gives an object without an id, or with one already taken, an id made
// of where it lies; the same folder always gives the same ids.
func (l *loader) settleID(o *found) (note string) {
	shelf := l.tenant.kinds[o.kind.name]
	asked := o.id
	for try := 0; o.id == "" || shelf.byID[o.id] != nil; try++ {
		o.id = guid("loaded", o.kind.name, o.place, strconv.Itoa(try))
	}
	if o.id == asked {
		return ""
	}
	o.doc.body = withProperty(o.doc.body, "id", encode(o.id))
	if asked == "" {
		return "no id: made " + o.id
	}
	return fmt.Sprintf("id %s is taken: served as %s", asked, o.id)
}

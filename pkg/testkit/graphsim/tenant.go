package graphsim

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// Tenant is the content of one simulated tenant. Its methods may be called
// while the server runs; they are how a test edits a policy behind a sync's back.
type Tenant struct {
	id   string
	made *kind.Maker // makes the generated objects; nil in a loaded tenant
	now  func() time.Time

	mu    sync.RWMutex
	kinds map[string]*shelf
}

// shelf holds the objects of one kind in listing order.
type shelf struct {
	entries []*entry // by rising seq
	byID    map[string]*entry
	last    int
}

// entry is one object. A generated object that nobody changed has no doc: it is
// made again for each response, so that ten thousand objects take next to no
// memory.
type entry struct {
	seq   int // place in the listing; never reused, so page tokens survive removals
	id    string
	index int // for the maker
	doc   *kind.Document
}

func newTenant(id string, now func() time.Time) *Tenant {
	t := &Tenant{id: id, now: now, kinds: map[string]*shelf{}}
	for _, k := range kind.All() {
		t.kinds[k.Name] = &shelf{byID: map[string]*entry{}}
	}
	return t
}

// generate fills the tenant with objects still to be made.
func (t *Tenant) generate(cfg TenantConfig) {
	t.made = kind.NewMaker(cfg.Seed, cfg.Size, cfg.Counts)
	for _, k := range kind.All() {
		for i, id := range t.made.Ids(k) {
			t.kinds[k.Name].add(&entry{id: id, index: i})
		}
	}
}

func (s *shelf) add(e *entry) {
	s.last++
	e.seq = s.last
	s.entries = append(s.entries, e)
	s.byID[e.id] = e
}

// body returns an object as an item without navigation properties.
func (t *Tenant) body(k *kind.Kind, e *entry) json.RawMessage {
	if e.doc != nil {
		return e.doc.Body
	}
	return t.made.Body(k, e.index)
}

// nav returns the elements of one navigation property.
func (t *Tenant) nav(k *kind.Kind, e *entry, name string) kind.Sequence {
	if e.doc != nil {
		return kind.SequenceOf(e.doc.Navs[name])
	}
	return t.made.Nav(k, e.index, name)
}

// document returns e's own copy to change, making it from the generator first.
func (t *Tenant) document(k *kind.Kind, e *entry) *kind.Document {
	if e.doc == nil {
		d := &kind.Document{Body: t.made.Body(k, e.index), Navs: map[string][]json.RawMessage{}}
		for _, n := range k.Navs {
			d.Navs[n.Name] = t.made.Nav(k, e.index, n.Name).All()
		}
		e.doc = d
	}
	return e.doc
}

// page returns up to n entries behind seq after, and whether more follow.
func (t *Tenant) page(k *kind.Kind, after, n int) (page []*entry, more bool) {
	all := t.kinds[k.Name].entries
	from, _ := slices.BinarySearchFunc(all, after+1, func(e *entry, seq int) int { return e.seq - seq })
	all = all[from:]
	return all[:min(n, len(all))], len(all) > n
}

// IDs lists the ids of one kind ("configurationPolicies", "groups",
// "conditionalAccess/policies"…) in listing order.
func (t *Tenant) IDs(kindName string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := t.kinds[kindName]
	if s == nil {
		return nil
	}
	ids := make([]string, len(s.entries))
	for i, e := range s.entries {
		ids[i] = e.id
	}
	return ids
}

// Object returns an object as a GET of the item would, less @odata.context.
func (t *Tenant) Object(kindName, id string) (json.RawMessage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	k, e, err := t.find(kindName, id)
	if err != nil {
		return nil, err
	}
	return t.body(k, e), nil
}

// Elements returns a navigation property of an object: "settings",
// "assignments", "definitionValues"….
func (t *Tenant) Elements(kindName, id, name string) ([]json.RawMessage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	k, e, err := t.find(kindName, id)
	if err != nil {
		return nil, err
	}
	return t.nav(k, e, name).All(), nil
}

// Add puts an object (with its navigation properties inline, if it has any) at
// the end of its kind's listing and returns its id.
func (t *Tenant) Add(kindName string, raw json.RawMessage) (string, error) {
	k := kind.Named(kindName)
	if k == nil {
		return "", fmt.Errorf("no such type: %s", kindName)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d, id, err := kind.NewDocument(k, raw)
	if err != nil {
		return "", err
	}
	if id == "" {
		id = kind.GUID("added", t.id, k.Name, fmt.Sprint(t.kinds[k.Name].last))
		d.Body = rawjson.WithProperty(d.Body, "id", json.RawMessage(rawjson.Quote(id)))
	}
	if t.kinds[k.Name].byID[id] != nil {
		return "", fmt.Errorf("%s %s is there already", k.Name, id)
	}
	t.kinds[k.Name].add(&entry{id: id, doc: d})
	return id, nil
}

// Remove deletes an object.
func (t *Tenant) Remove(kindName, id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, e, err := t.find(kindName, id)
	if err != nil {
		return err
	}
	s := t.kinds[k.Name]
	delete(s.byID, id)
	s.entries = slices.DeleteFunc(slices.Clone(s.entries), func(x *entry) bool { return x == e })
	return nil
}

// Set changes one property to a JSON value and, as Graph does, the time of the
// last change with it.
func (t *Tenant) Set(kindName, id, key string, value json.RawMessage) error {
	if !json.Valid(value) {
		return fmt.Errorf("%s: not a JSON value", key)
	}
	return t.change(kindName, id, func(d *kind.Document) {
		d.Body = rawjson.WithProperty(d.Body, key, value)
	})
}

// Rename gives an object another name, whatever its kind calls that property.
func (t *Tenant) Rename(kindName, id, name string) error {
	k := kind.Named(kindName)
	if k == nil {
		return fmt.Errorf("no such type: %s", kindName)
	}
	return t.Set(kindName, id, k.NameProperty, json.RawMessage(rawjson.Quote(name)))
}

// SetElements replaces a navigation property, and what the object says of its length.
func (t *Tenant) SetElements(kindName, id, name string, els []json.RawMessage) error {
	return t.change(kindName, id, func(d *kind.Document) {
		d.Navs[name] = els
		if n, _ := kind.Named(kindName).Nav(name); n.Count != "" {
			d.Body = rawjson.WithProperty(d.Body, n.Count, rawjson.Encode(len(els)))
		}
	})
}

func (t *Tenant) change(kindName, id string, edit func(*kind.Document)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, e, err := t.find(kindName, id)
	if err != nil {
		return err
	}
	d := t.document(k, e)
	edit(d)
	for _, key := range []string{"lastModifiedDateTime", "modifiedDateTime"} {
		if rawjson.Property(d.Body, key) != nil {
			d.Body = rawjson.WithProperty(d.Body, key, rawjson.Encode(t.now().UTC().Format(time.RFC3339Nano)))
		}
	}
	return nil
}

func (t *Tenant) find(kindName, id string) (*kind.Kind, *entry, error) {
	k := kind.Named(kindName)
	if k == nil {
		return nil, nil, fmt.Errorf("no such type: %s", kindName)
	}
	e := t.kinds[k.Name].byID[id]
	if e == nil {
		return nil, nil, fmt.Errorf("no %s with id %s", k.Name, id)
	}
	return k, e, nil
}

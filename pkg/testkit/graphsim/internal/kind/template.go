package kind

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// template is JSON text with gaps: what is between gaps stays as it is in the
// fixture, byte by byte.
type template []piece

// piece is text as it is or, where fill is set, as fill makes it.
type piece struct {
	text []byte
	fill filler
}

// filler makes the JSON text of one value.
type filler func(*making) []byte

// making is one object, or one element of its collections, while it is made.
type making struct {
	*Maker
	kind    *Kind
	index   int    // of the object, among those of its kind
	id      string // of the object
	like    *fixture
	chance  *rand.Rand
	ordinal int    // of an element, within its collection
	round   int    // how many times the fixture's elements were all used before this one
	target  []byte // of an assignment
	key     string // of that target
}

func (t template) make(m *making) json.RawMessage {
	var out []byte
	for _, p := range t {
		if p.fill != nil {
			out = append(out, p.fill(m)...)
		} else {
			out = append(out, p.text...)
		}
	}
	return out
}

// compiler turns fixtures into templates. What varies from object to object,
// by rules that hold for every kind:
//
//   - the id, the name, the description, scope tags, and every time;
//   - an id of another fixture: it becomes the id of some object of that kind;
//   - ids of elements, and the object's own id within other ids;
//   - whole numbers above one;
//   - a text or a yes or no that two fixtures of one @odata.type disagree about:
//     either value may be made;
//   - the text of scripts, at its end.
//
// Everything else is as the fixture has it.
type compiler struct {
	kind    *Kind
	fixture *fixture
	others  map[string]*Kind             // the kind of each fixture, by id
	local   map[string]bool              // ids of the fixture's elements
	choices map[string][]json.RawMessage // what fixtures of this @odata.type say, by property
	element bool
	root    string // of an element: the identifier its others begin with
}

// compile makes the templates of all fixtures.
func compile(all []*Kind) {
	others := map[string]*Kind{}
	for _, k := range all {
		for _, f := range k.fixtures {
			others[f.id] = k
		}
	}
	for _, k := range all {
		for _, f := range k.fixtures {
			c := compiler{kind: k, fixture: f, others: others, local: localIDs(f), choices: choices(k, f)}
			f.text = c.template(f.Body)
			f.parts = map[string][]template{}
			c.element = true
			for name, els := range f.Navs {
				for _, e := range els {
					c.root = rootOf(e)
					f.parts[name] = append(f.parts[name], c.template(e))
				}
			}
		}
	}
}

var guids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// localIDs are the ids of everything that is part of the fixture.
func localIDs(f *fixture) map[string]bool {
	ids := map[string]bool{}
	for _, els := range f.Navs {
		for _, e := range els {
			for v := range rawjson.Values(e) {
				if v.Key == "id" && v.InList {
					ids[rawjson.Unquote(v.Raw)] = true
				}
			}
		}
	}
	return ids
}

// choices are the values of top-level properties that other fixtures of the
// same @odata.type have instead.
func choices(k *Kind, f *fixture) map[string][]json.RawMessage {
	out := map[string][]json.RawMessage{}
	for _, other := range k.fixtures {
		if other.odataType != f.odataType || other.builtIn {
			continue
		}
		for v := range rawjson.Values(other.Body) {
			mine := rawjson.Property(f.Body, v.Key)
			if v.Depth != 1 || kindOf(v.Raw) == 0 || len(mine) == 0 || kindOf(mine) != kindOf(v.Raw) {
				continue
			}
			if !slices.ContainsFunc(out[v.Key], func(c json.RawMessage) bool { return bytes.Equal(c, v.Raw) }) {
				out[v.Key] = append(out[v.Key], v.Raw)
			}
		}
	}
	return out
}

// kindOf tells text from yes or no, and those from all else.
func kindOf(raw []byte) byte {
	switch raw[0] {
	case '"':
		return '"'
	case 't', 'f':
		return 'b'
	}
	return 0
}

// rootOf is the first identifier of an element, such as the settingDefinitionId
// of a setting; those of the settings below it begin with it.
func rootOf(el json.RawMessage) string {
	for v := range rawjson.Values(el) {
		if strings.HasSuffix(v.Key, "DefinitionId") {
			return rawjson.Unquote(v.Raw)
		}
	}
	return ""
}

func (c *compiler) template(raw json.RawMessage) template {
	var out template
	from := 0
	for v := range rawjson.Values(raw) {
		if v.Start < from {
			continue // within what is made as a whole
		}
		if fill := c.filler(v); fill != nil {
			out = append(out, piece{text: raw[from:v.Start]}, piece{fill: fill})
			from = v.End
		}
	}
	return append(out, piece{text: raw[from:]})
}

// filler decides by what a value is where it stands; nil: it stays as it is.
func (c *compiler) filler(v rawjson.Value) filler {
	if !c.element && v.Depth == 1 {
		if fill, ok := c.ofObject(v); ok {
			return fill
		}
	}
	if c.element && v.Depth == 1 {
		switch v.Key {
		case "target":
			return func(m *making) []byte { return m.target }
		case "id":
			if _, err := strconv.Atoi(rawjson.Unquote(v.Raw)); err == nil {
				return func(m *making) []byte { return rawjson.Encode(strconv.Itoa(m.ordinal)) }
			}
		}
	}
	switch kindOf(v.Raw) {
	case '"':
		return c.ofText(rawjson.Unquote(v.Raw))
	case 0:
		return ofNumber(v)
	}
	return nil
}

// ofObject knows the properties of the object itself.
func (c *compiler) ofObject(v rawjson.Value) (fill filler, known bool) {
	switch {
	case v.Key == "id":
		return func(m *making) []byte { return rawjson.Encode(m.id) }, true
	case strings.HasPrefix(v.Key, "@"), c.fixture.builtIn && !isTime(v.Raw):
		return nil, true
	case v.Key == c.kind.NameProperty:
		return func(m *making) []byte { return rawjson.Encode(m.name(m.like, m.kind, m.index)) }, true
	case v.Key == "description" && v.Raw[0] == '"':
		return func(m *making) []byte { return rawjson.Encode(pick(m.chance, descriptions)) }, true
	case v.Key == "roleScopeTagIds" || v.Key == "roleScopeTags":
		return func(m *making) []byte { return rawjson.Encode(m.tags(m.chance)) }, true
	case slices.Contains(c.kind.ListCuts, v.Key):
		return ofContent(rawjson.Unquote(v.Raw)), true
	case len(c.choices[v.Key]) > 1 && !isTime(v.Raw) && !guids.Match(v.Raw):
		from := c.choices[v.Key]
		return func(m *making) []byte { return pick(m.chance, from) }, true
	}
	for _, n := range c.kind.Navs {
		if v.Key == n.Count {
			return func(m *making) []byte { return rawjson.Encode(m.length(m.kind, m.index, n)) }, true
		}
	}
	return nil, false
}

func isTime(raw []byte) bool { return len(raw) > 2 && raw[0] == '"' && sometime(rawjson.Unquote(raw)) }

// sometime reports whether text is a time that was meant as one; Graph writes
// the year 1 where it knows none.
func sometime(text string) bool {
	at, err := time.Parse(time.RFC3339, text)
	return err == nil && at.Year() > 2000
}

func (c *compiler) ofText(text string) filler {
	switch {
	case sometime(text):
		return func(m *making) []byte { return rawjson.Encode(m.earlier(text)) }
	case c.root != "" && strings.HasPrefix(text, c.root):
		root, rest := c.root, text[len(c.root):]
		return func(m *making) []byte {
			if m.round == 0 {
				return rawjson.Encode(root + rest)
			}
			return rawjson.Encode(fmt.Sprintf("%s_%d%s", root, m.round, rest))
		}
	}
	if !slices.ContainsFunc(guids.FindAllString(text, -1), c.varies) {
		return nil
	}
	return func(m *making) []byte {
		return rawjson.Encode(guids.ReplaceAllStringFunc(text, func(id string) string { return c.id(m, id) }))
	}
}

func (c *compiler) varies(id string) bool {
	return c.others[id] != nil || c.local[id] || strings.Contains(c.fixture.id, id) || c.element && id != ZeroGUID
}

// id is what stands in a made object where the fixture has id.
func (c *compiler) id(m *making, id string) string {
	switch {
	case strings.Contains(c.fixture.id, id):
		return guids.FindString(m.id)
	case c.others[id] != nil:
		return m.some(c.others[id], m.kind.Name, strconv.Itoa(m.index), id)
	case c.local[id]:
		return GUID(id, m.id, strconv.Itoa(m.ordinal))
	case m.round > 0: // what an element refers to: two of one collection refer to two things
		return GUID(id, strconv.Itoa(m.round))
	}
	return id
}

// ofNumber varies whole numbers that count something: 1 is often a yes, and 0 a no.
func ofNumber(v rawjson.Value) filler {
	n, err := strconv.Atoi(string(v.Raw))
	if err != nil || n < 2 || n > 1_000_000 {
		return nil
	}
	return func(m *making) []byte { return rawjson.Encode(n - n/4 + m.chance.IntN(n/2+1)) }
}

// ofContent ends a script with a line of the object's own.
func ofContent(content string) filler {
	script, err := base64.StdEncoding.DecodeString(content)
	if err != nil || len(script) == 0 {
		return nil
	}
	return func(m *making) []byte {
		return rawjson.Encode(base64.StdEncoding.EncodeToString(fmt.Appendf(slices.Clone(script), "# %s\r\n", m.id)))
	}
}

package graphsim

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// fixtures holds one folder for each kind, named as the kind, and in it objects
// as Graph sends them, with their collections inline. Their tenant is invented.
//
//go:embed fixtures
var fixtureFiles embed.FS

// fixture is an object that the generator makes others like.
type fixture struct {
	file      string // below fixtures/
	id        string
	odataType string
	builtIn   bool // Microsoft made it: each tenant has it once, as it is
	document
	text  template              // the object without its collections
	parts map[string][]template // the elements of each, by navigation property
}

// readFixtures gives every kind its fixtures. A folder that is missing leaves
// the kind without; the tests name it.
func readFixtures(all []*kind) {
	for _, k := range all {
		files, _ := fixtureFiles.ReadDir(path.Join("fixtures", k.Name))
		for _, f := range files {
			if f.IsDir() {
				continue
			}
			name := path.Join("fixtures", k.Name, f.Name())
			raw, err := fixtureFiles.ReadFile(name)
			if err != nil {
				panic(err) // it was listed
			}
			fixture, err := newFixture(k, name, raw)
			if err != nil {
				panic(fmt.Sprintf("pkg/testkit/graphsim/%s: %v", name, err)) // built in, and tested
			}
			k.fixtures = append(k.fixtures, fixture)
		}
	}
	compile(all)
}

func newFixture(k *kind, file string, raw []byte) (*fixture, error) {
	if reason := syntax(raw); reason != "" {
		return nil, fmt.Errorf("%s", reason)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, err
	}
	d, id, err := newDocument(k, compact.Bytes())
	if err != nil {
		return nil, err
	}
	if context, _, _ := kindOfContext(rawjson.Text(d.body, "@odata.context"), []*kind{k}); context != k {
		return nil, fmt.Errorf("add \"@odata.context\": \"https://graph.microsoft.com/%s/$metadata#%s/$entity\"; this one is another collection's: %q",
			k.Version, k.path, rawjson.Text(d.body, "@odata.context"))
	}
	d.body = rawjson.Cut(d.body, "@odata.context") // an element of a list has none
	return &fixture{
		file: file, id: id, odataType: rawjson.Text(d.body, "@odata.type"), document: *d,
		builtIn: k.BuiltIn != "" && string(rawjson.Property(d.body, k.BuiltIn)) == "true",
	}, nil
}

// like returns the fixture that object i is made like.
func (k *kind) like(i int) *fixture {
	var builtIn, own []*fixture
	for _, f := range k.fixtures {
		if f.builtIn {
			builtIn = append(builtIn, f)
		} else {
			own = append(own, f)
		}
	}
	if i < len(builtIn) || len(own) == 0 {
		return builtIn[i%len(builtIn)]
	}
	return own[i%len(own)]
}

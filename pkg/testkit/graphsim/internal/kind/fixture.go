package kind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/fixtures"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// fixture is an object that the generator makes others like.
type fixture struct {
	file      string // below fixtures/
	id        string
	odataType string
	builtIn   bool // Microsoft made it: each tenant has it once, as it is
	Document
	text  template              // the object without its collections
	parts map[string][]template // the elements of each, by navigation property
}

// readFixtures gives every kind its fixtures. A folder that is missing leaves
// the kind without; the tests name it.
func readFixtures(all []*Kind) {
	for _, k := range all {
		files, _ := fixtures.Files.ReadDir(k.Name)
		for _, f := range files {
			if f.IsDir() {
				continue
			}
			name := path.Join(k.Name, f.Name())
			raw, err := fixtures.Files.ReadFile(name)
			if err != nil {
				panic(err) // it was listed
			}
			fixture, err := newFixture(k, name, raw)
			if err != nil {
				panic(fmt.Sprintf("pkg/testkit/graphsim/fixtures/%s: %v", name, err)) // built in, and tested
			}
			k.fixtures = append(k.fixtures, fixture)
		}
	}
	compile(all)
}

func newFixture(k *Kind, file string, raw []byte) (*fixture, error) {
	if reason := syntax(raw); reason != "" {
		return nil, fmt.Errorf("%s", reason)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, err
	}
	d, id, err := NewDocument(k, compact.Bytes())
	if err != nil {
		return nil, err
	}
	if context, _, _ := kindOfContext(rawjson.Text(d.Body, "@odata.context"), []*Kind{k}); context != k {
		return nil, fmt.Errorf("add \"@odata.context\": \"https://graph.microsoft.com/%s/$metadata#%s/$entity\"; this one is another collection's: %q",
			k.Version, k.Collection, rawjson.Text(d.Body, "@odata.context"))
	}
	d.Body = rawjson.Cut(d.Body, "@odata.context") // an element of a list has none
	return &fixture{
		file: file, id: id, odataType: rawjson.Text(d.Body, "@odata.type"), Document: *d,
		builtIn: k.BuiltIn != "" && string(rawjson.Property(d.Body, k.BuiltIn)) == "true",
	}, nil
}

// like returns the fixture that object i is made like.
func (k *Kind) like(i int) *fixture {
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

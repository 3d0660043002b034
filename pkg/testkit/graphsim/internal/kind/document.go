package kind

import (
	"encoding/json"
	"fmt"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// Document is an object with its navigation properties beside it.
type Document struct {
	Body json.RawMessage
	Navs map[string][]json.RawMessage
}

// NewDocument takes inline navigation properties out of an object.
func NewDocument(k *Kind, raw json.RawMessage) (d *Document, id string, err error) {
	ms, err := rawjson.Members(raw)
	if err != nil {
		return nil, "", err
	}
	d = &Document{Body: raw, Navs: map[string][]json.RawMessage{}}
	var inline []string
	for _, m := range ms {
		if _, ok := k.Nav(m.Key); !ok {
			continue
		}
		inline = append(inline, m.Key)
		if m.Value[0] == '{' { // PowerShell writes an array of one as its element
			d.Navs[m.Key] = []json.RawMessage{m.Value}
			continue
		}
		if d.Navs[m.Key], err = rawjson.Elements(m.Value); err != nil {
			return nil, "", fmt.Errorf("property %q is not an array", m.Key)
		}
	}
	if len(inline) > 0 {
		d.Body = rawjson.Cut(raw, inline...)
	}
	return d, rawjson.Text(raw, "id"), nil
}

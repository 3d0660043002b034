package graphsim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

const graphNS = "#microsoft.graph."

// verdict is what a document was recognised as: an object of a kind, a part of
// one, or nothing, with the reason.
type verdict struct {
	kind   *kind
	part   string // the navigation property a part fills; "" for objects
	owner  string // id of a part's owner, where the document says it
	reason string
}

// classify tells a document's kind by @odata.type, else by @odata.context, else
// by its properties. A type that Graph has and that is not served is rejected
// at once: its properties may look like another's.
func (d exported) classify() verdict {
	if d.els != nil {
		return d.classifyPart()
	}
	if len(d.raw) == 0 || d.raw[0] != '{' {
		return verdict{reason: "not a JSON object"}
	}
	odataType, context := rawjson.Text(d.raw, "@odata.type"), rawjson.Text(d.raw, "@odata.context")
	k, foreign := kindOfType(odataType)
	if k != nil {
		return verdict{kind: k}
	}
	if part := partShape(d.raw); part != "" {
		return exported{els: []json.RawMessage{d.raw}, context: context}.classifyPart()
	}
	for _, c := range []string{context, d.context} {
		if k, _, _ := kindOfContext(c, kinds()); k != nil {
			return verdict{kind: k}
		}
	}
	if foreign {
		return verdict{reason: fmt.Sprintf("@odata.type %q is none of the types served", odataType)}
	}
	if reason := toolsOwn(d.raw); reason != "" {
		return verdict{reason: reason}
	}
	if k := kindOfShape(d.raw); k != nil {
		return verdict{kind: k}
	}
	return verdict{reason: unrecognised(d.raw, odataType, context)}
}

func (d exported) classifyPart() verdict {
	_, owner, part := kindOfContext(d.context, kinds())
	if len(d.els) > 0 {
		part = partShape(d.els[0])
	}
	if part == assignments && owner == "" {
		owner = assignmentOwner(d.els[0])
	}
	// The name of the file may still say what an empty array is.
	return verdict{part: part, owner: owner}
}

// assignmentOwner reads the policy's id out of an assignment: its source, or
// the first half of its own id.
func assignmentOwner(el json.RawMessage) string {
	if id := rawjson.Text(el, "sourceId"); id != "" && id != zeroGUID {
		return id
	}
	id, _, _ := strings.Cut(rawjson.Text(el, "id"), "_")
	return id
}

// contextPath takes a metadata URL's fragment apart: collection, owner id, part.
var contextPath = regexp.MustCompile(`\$metadata#([A-Za-z]+(?:/[A-Za-z]+)*)(?:\('([^']+)'\)/([A-Za-z]+))?`)

func kindOfContext(context string, among []*kind) (k *kind, owner, part string) {
	m := contextPath.FindStringSubmatch(context)
	if m == nil {
		return nil, "", ""
	}
	for _, k := range among {
		if m[1] == k.path || strings.HasPrefix(m[1], k.path+"/") {
			return k, m[2], m[3]
		}
	}
	return nil, "", ""
}

// kindOfType returns the kind whose entity odataType is, or is derived from.
// foreign reports that Graph has the type, but not in a collection that is
// served.
func kindOfType(odataType string) (k *kind, foreign bool) {
	name, ok := strings.CutPrefix(odataType, graphNS)
	if !ok {
		return nil, false
	}
	_, foreign = bases()[name]
	for ; name != ""; name = bases()[name] {
		i := slices.IndexFunc(kinds(), func(k *kind) bool { return k.Entity == name })
		if i >= 0 {
			return kinds()[i], false
		}
	}
	return nil, foreign
}

// others are objects that are not served, each recognised by a property that no
// type served has.
var others = []struct{ property, reason string }{
	{"settingsDelta", "an endpoint security intent (settingsDelta), a type not served"},
	{"Objects", "a migration table of ids, not an object"},
	{"rolePermissions", "a role definition, a type not served"},
}

// toolsOwn returns the reason why an object is known not to be served, or "".
func toolsOwn(raw []byte) string {
	for _, o := range others {
		marks := slices.ContainsFunc(kinds(), func(k *kind) bool { return slices.Contains(slices.Concat(k.Marks...), o.property) })
		if !marks && rawjson.Property(raw, o.property) != nil {
			return o.reason
		}
	}
	return ""
}

func unrecognised(raw []byte, odataType, context string) string {
	switch {
	case odataType != "":
		return fmt.Sprintf("@odata.type %q is none of the types served", odataType)
	case context != "":
		return fmt.Sprintf("@odata.context %q is none of the types served", context)
	}
	return "no @odata.type, no @odata.context, and not the shape of a type served; its properties: " + firstKeys(raw)
}

func firstKeys(raw []byte) string {
	ms, _ := rawjson.Members(raw)
	var keys []string
	for _, m := range ms {
		keys = append(keys, m.Key)
	}
	switch {
	case len(keys) == 0:
		return "none"
	case len(keys) > 6:
		keys = append(keys[:6], "…")
	}
	return strings.Join(keys, ", ")
}

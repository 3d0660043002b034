package kind

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

const graphNS = "#microsoft.graph."

// Verdict is what a document was recognised as: an object of a kind, a part of
// one, or nothing, with the reason.
type Verdict struct {
	Kind   *Kind
	Part   string // the navigation property a part fills; "" for objects
	Owner  string // id of a part's owner, where the document says it
	Reason string
}

// Classify tells a document's kind by @odata.type, else by @odata.context, else
// by its properties. A type that Graph has and that is not served is rejected
// at once: its properties may look like another's.
func (d Export) Classify() Verdict {
	if d.Els != nil {
		return d.classifyPart()
	}
	if len(d.Raw) == 0 || d.Raw[0] != '{' {
		return Verdict{Reason: "not a JSON object"}
	}
	odataType, context := rawjson.Text(d.Raw, "@odata.type"), rawjson.Text(d.Raw, "@odata.context")
	k, foreign := kindOfType(odataType)
	if k != nil {
		return Verdict{Kind: k}
	}
	if part := partShape(d.Raw); part != "" {
		return Export{Els: []json.RawMessage{d.Raw}, context: context}.classifyPart()
	}
	for _, c := range []string{context, d.context} {
		if k, _, _ := kindOfContext(c, All()); k != nil {
			return Verdict{Kind: k}
		}
	}
	if foreign {
		return Verdict{Reason: fmt.Sprintf("@odata.type %q is none of the types served", odataType)}
	}
	if reason := toolsOwn(d.Raw); reason != "" {
		return Verdict{Reason: reason}
	}
	if k := kindOfShape(d.Raw); k != nil {
		return Verdict{Kind: k}
	}
	return Verdict{Reason: unrecognised(d.Raw, odataType, context)}
}

func (d Export) classifyPart() Verdict {
	_, owner, part := kindOfContext(d.context, All())
	if len(d.Els) > 0 {
		part = partShape(d.Els[0])
	}
	if part == Assignments && owner == "" {
		owner = assignmentOwner(d.Els[0])
	}
	// The name of the file may still say what an empty array is.
	return Verdict{Part: part, Owner: owner}
}

// assignmentOwner reads the policy's id out of an assignment: its source, or
// the first half of its own id.
func assignmentOwner(el json.RawMessage) string {
	if id := rawjson.Text(el, "sourceId"); id != "" && id != ZeroGUID {
		return id
	}
	id, _, _ := strings.Cut(rawjson.Text(el, "id"), "_")
	return id
}

// contextPath takes a metadata URL's fragment apart: collection, owner id, part.
var contextPath = regexp.MustCompile(`\$metadata#([A-Za-z]+(?:/[A-Za-z]+)*)(?:\('([^']+)'\)/([A-Za-z]+))?`)

func kindOfContext(context string, among []*Kind) (k *Kind, owner, part string) {
	m := contextPath.FindStringSubmatch(context)
	if m == nil {
		return nil, "", ""
	}
	for _, k := range among {
		if m[1] == k.Collection || strings.HasPrefix(m[1], k.Collection+"/") {
			return k, m[2], m[3]
		}
	}
	return nil, "", ""
}

// kindOfType returns the kind whose entity odataType is, or is derived from.
// foreign reports that Graph has the type, but not in a collection that is
// served.
func kindOfType(odataType string) (k *Kind, foreign bool) {
	name, ok := strings.CutPrefix(odataType, graphNS)
	if !ok {
		return nil, false
	}
	_, foreign = bases()[name]
	for ; name != ""; name = bases()[name] {
		i := slices.IndexFunc(All(), func(k *Kind) bool { return k.Entity == name })
		if i >= 0 {
			return All()[i], false
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
		marks := slices.ContainsFunc(All(), func(k *Kind) bool { return slices.Contains(slices.Concat(k.Marks...), o.property) })
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

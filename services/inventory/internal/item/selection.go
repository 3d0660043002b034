package item

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// RunType is the type of the runs that sync a selection.
const RunType = "inventory_sync"

// Repeated is what a schedule repeats: syncs of these types, or of all if there
// are none. It is stored as JSON.
type Repeated struct {
	Types []string `json:"types"`
}

// Selection is the types of one sync: at least one, sorted, each once.
type Selection []string

// Select returns the selection of the types that were asked for, or of the whole
// catalog if none were. For a type that is not in the catalog it returns Invalid,
// which names the type's place in the list.
func Select(asked, catalog []string) (Selection, error) {
	if len(asked) == 0 {
		asked = catalog
	}
	for i, name := range asked {
		if !slices.Contains(catalog, name) {
			return nil, errs.Invalid(fmt.Sprintf("types[%d]", i), "%q is not a policy type", name)
		}
	}
	selected := slices.Clone(asked)
	slices.Sort(selected)
	return slices.Compact(selected), nil
}

// Hash returns the identity of the selection: two syncs of a tenant with the same
// hash are the same work.
func (s Selection) Hash() string {
	list, _ := json.Marshal([]string(s)) // strings always can be
	sum := sha256.Sum256(list)
	return hex.EncodeToString(sum[:])
}

// Context returns what a run remembers of the selection, and of the schedule that
// started the run (0 for none). Its values fit a protobuf Struct.
func (s Selection) Context(scheduleID int64) map[string]any {
	types := make([]any, len(s))
	for i, t := range s {
		types[i] = t
	}
	c := map[string]any{
		"inputs":  map[string]any{"selection_hash": s.Hash(), "types": types},
		"trigger": "manual",
	}
	if scheduleID != 0 {
		c["trigger"], c["sync_schedule_id"] = "schedule", strconv.FormatInt(scheduleID, 10)
	}
	return c
}

// TypesOf returns the types that a [Selection.Context] remembers, and none for
// another kind of context.
func TypesOf(context map[string]any) []string {
	inputs, _ := context["inputs"].(map[string]any)
	types, _ := inputs["types"].([]any)
	var names []string
	for _, t := range types {
		if name, ok := t.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

package adopt

import (
	"fmt"
	"strings"
)

// shown returns the options as a report shows them.
func (o Options) shown() map[string]string {
	shown := map[string]string{}
	if o.IDOffset != 0 {
		shown["id-offset"] = fmt.Sprint(o.IDOffset)
	}
	if o.Timezone != "" {
		shown["legacy-timezone"] = o.Timezone
	}
	for _, flag := range []struct {
		name   string
		values []string
	}{{"type-map", pairs(o.TypeMap)}, {"workspace-map", pairs(o.WorkspaceMap)}, {"owner", pairs(o.Owners)}} {
		if len(flag.values) > 0 {
			shown[flag.name] = strings.Join(flag.values, ",")
		}
	}
	return shown
}

// Options are the flags of adopt.
type Options struct {
	Plan     bool   // check everything, and change nothing
	IDOffset int64  // is added to the ids of runs; 0 keeps them
	Timezone string // the zone of timestamps without one; empty means as before, and UTC at first
	// TypeMap gives unknown legacy types a canonical type, or "archive" if their runs
	// stay behind.
	TypeMap map[string]string
	// WorkspaceMap gives legacy tenants without a workspace one: the id of a legacy
	// workspace, or the name of a new one.
	WorkspaceMap map[int64]string
	// Owners gives legacy workspaces without an owner one: the id of a legacy user, or
	// the name of a new one.
	Owners map[int64]string
}

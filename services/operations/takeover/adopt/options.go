package adopt

import (
	"fmt"
	"strings"
)

// told are the options as a report shows them.
func (o Options) told() map[string]string {
	told := map[string]string{}
	if o.IDOffset != 0 {
		told["id-offset"] = fmt.Sprint(o.IDOffset)
	}
	if o.Timezone != "" {
		told["legacy-timezone"] = o.Timezone
	}
	for _, flag := range []struct {
		name   string
		values []string
	}{{"type-map", pairs(o.TypeMap)}, {"workspace-map", pairs(o.WorkspaceMap)}, {"owner", pairs(o.Owners)}} {
		if len(flag.values) > 0 {
			told[flag.name] = strings.Join(flag.values, ",")
		}
	}
	return told
}

// Options is what adopt is told.
type Options struct {
	Plan     bool
	IDOffset int64  // added to the ids of runs; 0 keeps them
	Timezone string // of timestamps without one; empty: as before, at first UTC
	// TypeMap decides types that are not known: a canonical type, or "archive" for
	// runs that stay behind.
	TypeMap map[string]string
	// WorkspaceMap gives legacy tenants without a workspace one: a legacy workspace's
	// id, or the name of a workspace to make.
	WorkspaceMap map[int64]string
	// Owners names the owner of a legacy workspace where there are no memberships: a
	// legacy user's id, or a name.
	Owners map[int64]string
}

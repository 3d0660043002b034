package work

import (
	"cmp"
	"slices"
)

// tenantAtOnce is how many runs of a tenant are active at once while other runs
// wait: more would only compete for the quota that Graph gives the tenant.
const tenantAtOnce = 2

// census is how many runs are active, in all processes of the service: at work or
// parked.
type census struct {
	workspaces map[int64]int
	tenants    map[who]int
}

func (c census) add(w who) {
	c.workspaces[w.workspace]++
	c.tenants[w]++
}

// activeTenants returns how many tenants of a workspace have active runs.
func (c census) activeTenants(workspace int64) int {
	n := 0
	for w := range c.tenants {
		if w.workspace == workspace {
			n++
		}
	}
	return n
}

// fewest sorts ids, which come in turn, by how many active runs each has: those
// with as many keep their turn.
func fewest(ids []int64, active func(int64) int) []int64 {
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b int64) int { return cmp.Compare(active(a), active(b)) })
	return ids
}

// choice picks whose slip is next, while there are slips and places.
type choice struct {
	census census
	room   room
	share  int
	spare  int
	over   bool // nobody below a limit waits: the limits do not bind
}

// workspaces returns the workspaces that may begin a run now, the next one first.
// waiting are those with slips, in turn.
func (c choice) workspaces(waiting []int64) []int64 {
	if c.room.free <= 0 || c.over && c.room.free <= c.spare {
		return nil
	}
	order := fewest(waiting, func(ws int64) int { return c.census.workspaces[ws] })
	if c.over {
		return order
	}
	return slices.DeleteFunc(order, func(ws int64) bool { return c.room.holds[ws] >= c.share })
}

// tenants is the same for the tenants of a workspace. Slips of no tenant are those
// of tenant 0, which has no limit of its own.
func (c choice) tenants(workspace int64, waiting []int64) []int64 {
	order := fewest(waiting, func(t int64) int { return c.census.tenants[who{workspace, t}] })
	return slices.DeleteFunc(order, func(t int64) bool {
		w := who{workspace, t}
		// More runs of a tenant that keeps its runs waiting would wait too.
		limited := t != 0 && (!c.over || c.room.parked[w] > 0)
		return limited && c.census.tenants[w] >= tenantAtOnce
	})
}

// begun takes note of a run that was picked.
func (c choice) begun(w who) choice {
	c.census.add(w)
	c.room.holds[w.workspace]++
	c.room.free--
	return c
}

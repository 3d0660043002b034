package fair

import (
	"cmp"
	"maps"
	"slices"
)

// tenantAtOnce is how many runs of a tenant are active at once while other runs
// wait. More would only compete for the quota that Graph gives the tenant.
const tenantAtOnce = 2

// Census is how many runs are active in all processes of a service, at work or parked.
type Census struct {
	workspaces map[int64]int
	tenants    map[Owner]int
}

// NewCensus returns a census without runs.
func NewCensus() Census { return Census{workspaces: map[int64]int{}, tenants: map[Owner]int{}} }

// Add adds n active runs of an owner.
func (c Census) Add(o Owner, n int) {
	c.workspaces[o.Workspace] += n
	c.tenants[o] += n
}

// Choice picks whose run begins next, while runs wait and places are free.
type Choice struct {
	// Active is the census, with the runs that have begun by this choice.
	Active Census

	room  room
	share int
	spare int
	over  bool // no run below a limit waits: the limits do not bind
}

// Full reports whether no place is free.
func (c Choice) Full() bool { return c.room.free <= 0 }

// LookAtWorkspaces returns at how many workspaces with waiting runs, in turn, a caller
// looks. One of so many has no active run and no tenant that waits for quota, if there is one.
func (c Choice) LookAtWorkspaces() int {
	busy := maps.Clone(c.Active.workspaces)
	for o := range c.room.waits {
		busy[o.Workspace] = 1
	}
	return len(busy) + 1
}

// LookAtTenants does the same for the tenants of a workspace.
func (c Choice) LookAtTenants(workspace int64) int {
	n := 1
	for o := range c.Active.tenants {
		if o.Workspace == workspace && !c.room.waits[o] {
			n++
		}
	}
	for o := range c.room.waits {
		if o.Workspace == workspace {
			n++
		}
	}
	return n
}

// Unlimited reports whether c lets owners beyond their limits begin runs; see
// [Gate.Unlimited].
func (c Choice) Unlimited() bool { return c.over }

// Workspaces returns the workspaces that may begin a run now. The one that comes first
// has the fewest active runs; those with as many keep their order. waiting are the
// workspaces with waiting runs, in turn.
func (c Choice) Workspaces(waiting []int64) []int64 {
	if c.Full() || c.over && c.room.free <= c.spare {
		return nil
	}
	order := fewest(waiting, func(ws int64) int { return c.Active.workspaces[ws] })
	if c.over {
		return order
	}
	return slices.DeleteFunc(order, func(ws int64) bool { return c.room.holds[ws] >= c.share })
}

// Tenants does the same for the tenants of a workspace, and leaves out those that wait
// for quota. Runs of no tenant are those of tenant 0, which has no limit of its own.
func (c Choice) Tenants(workspace int64, waiting []int64) []int64 {
	order := fewest(waiting, func(t int64) int { return c.Active.tenants[Owner{workspace, t}] })
	return slices.DeleteFunc(order, func(t int64) bool {
		o := Owner{workspace, t}
		if c.room.waits[o] {
			return true
		}
		// While runs of a tenant wait for quota, its next run would wait too.
		limited := t != 0 && (!c.over || c.room.parked[o] > 0)
		return limited && c.Active.tenants[o] >= tenantAtOnce
	})
}

// Begun returns the choice after a run of an owner has begun.
func (c Choice) Begun(o Owner) Choice {
	c.Active.Add(o, 1)
	c.room.holds[o.Workspace]++
	c.room.free--
	return c
}

// fewest sorts ids by how many active runs each has. Those with as many keep their
// order.
func fewest(ids []int64, active func(int64) int) []int64 {
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b int64) int { return cmp.Compare(active(a), active(b)) })
	return ids
}

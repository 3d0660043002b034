package run

import (
	"strconv"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// queueRetry is when a caller may try again whose workspace has too many runs queued.
const queueRetry = 30 * time.Second

// CheckRoom refuses s if it would make its workspace have more than limit runs
// queued, of which there are queued now. A run that begins at once needs no room.
func (s Start) CheckRoom(queued, limit int) error {
	if s.Holder != "" || queued < limit {
		return nil
	}
	return errs.Exhausted(ReasonQueueFull, queueRetry,
		"workspace %d has %d queued runs and may have %d: wait until some begin, or cancel those that are not needed",
		s.WorkspaceID, queued, limit).
		With("workspace_id", strconv.FormatInt(s.WorkspaceID, 10)).
		With("queued", strconv.Itoa(queued)).
		With("limit", strconv.Itoa(limit))
}

// Waiting is a queued run, as far as its turn depends on it.
type Waiting struct {
	ID, WorkspaceID, TenantID int64 // tenant 0 stands for no tenant
}

// Ahead returns about how many of the runs begin before the given one, as workers
// choose them: by turns a run of each workspace, and of a workspace by turns a run of
// each tenant. Runs are in the order they were queued. Example: behind 2 runs of its
// own tenant, a run waits for those and for at most 2 of every other tenant.
func Ahead(id int64, runs []Waiting) int {
	var me Waiting
	for _, r := range runs {
		if r.ID == id {
			me = r
		}
	}
	type tenant struct{ workspace, tenant int64 }
	tenants := map[tenant]int{}
	mine := 0 // before me in my tenant
	for _, r := range runs {
		if r.ID == id {
			mine = tenants[tenant{me.WorkspaceID, me.TenantID}]
		}
		tenants[tenant{r.WorkspaceID, r.TenantID}]++
	}
	here := mine
	workspaces := map[int64]int{}
	for t, n := range tenants {
		workspaces[t.workspace] += n
		if t.workspace == me.WorkspaceID && t.tenant != me.TenantID {
			here += min(n, mine)
		}
	}
	ahead := here
	for workspace, n := range workspaces {
		if workspace != me.WorkspaceID {
			ahead += min(n, here)
		}
	}
	return ahead
}

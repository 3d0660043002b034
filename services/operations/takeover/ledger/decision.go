package ledger

import (
	"context"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

const getHistory = `-- takeover.getHistory
	select coalesce(history, '') from tenantpilot_takeover.takeover`

// History returns the option --history that was given to backfill, import or link; empty before that.
func (l *Ledger) History(ctx context.Context) (history string, err error) {
	err = l.Legacy.QueryRow(ctx, getHistory).Scan(&history)
	return history, err
}

const mappedWorkspaces = `-- takeover.mappedWorkspaces
	select distinct workspace_id from tenantpilot_takeover.workspace_map order by 1`

// Workspaces returns the ids of the new workspaces, read from the legacy database by q.
func Workspaces(ctx context.Context, q query.Rows) ([]int64, error) {
	return query.Column[int64](ctx, q, mappedWorkspaces)
}

const countActiveRuns = `-- takeover.countActiveRuns
	select count(*) from operation_runs where status <> 'completed' and origin = 'legacy'`

// CountActiveRuns counts the imported runs that are not completed.
func (l *Ledger) CountActiveRuns(ctx context.Context) (n int64, err error) {
	err = l.Operations.QueryRow(ctx, countActiveRuns).Scan(&n)
	return n, err
}

// Counted is a row of a statement that counts by name.
type Counted struct {
	What string
	Rows int64
}

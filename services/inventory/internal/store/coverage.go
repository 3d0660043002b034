package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

const coverageColumns = `c.id, c.workspace_id, c.tenant_id, c.type, c.operation_run_id, c.lease_epoch,
	c.listed_count, c.read_count, c.failed_count, c.created_count, c.updated_count, c.unchanged_count, c.removed_count,
	c.complete, c.reason_code, c.message, c.start_time, c.end_time`

const latestCoverage = `-- store.latestCoverage
	select ` + coverageColumns + `
	from unnest($3::text[]) as t (type) cross join lateral (
		select * from coverage
		where workspace_id = $1 and tenant_id = $2 and type = t.type and end_time is not null
		order by id desc limit 1) as c
	order by c.type`

// LatestCoverage returns the last read of each of the types that has ended.
func (s *Store) LatestCoverage(ctx context.Context, workspaceID, tenantID int64, types []string) ([]item.Coverage, error) {
	rows, err := s.db.Query(ctx, latestCoverage, workspaceID, tenantID, types)
	if err != nil {
		return nil, fmt.Errorf("latest coverage: %w", err)
	}
	return pgx.CollectRows(rows, scanCoverage)
}

const runCoverage = `-- store.runCoverage
	select distinct on (c.type) ` + coverageColumns + `
	from coverage as c
	where c.operation_run_id = $3 and c.workspace_id = $1 and c.tenant_id = $2 and c.end_time is not null
	order by c.type, c.id desc`

// RunCoverage returns the last read of each type by one run, of those that have
// ended.
func (s *Store) RunCoverage(ctx context.Context, workspaceID, tenantID, runID int64) ([]item.Coverage, error) {
	rows, err := s.db.Query(ctx, runCoverage, workspaceID, tenantID, runID)
	if err != nil {
		return nil, fmt.Errorf("coverage of run %d: %w", runID, err)
	}
	return pgx.CollectRows(rows, scanCoverage)
}

func scanCoverage(row pgx.CollectableRow) (item.Coverage, error) {
	var c item.Coverage
	err := row.Scan(&c.Read.ID, &c.WorkspaceID, &c.TenantID, &c.Type, &c.RunID, &c.Epoch,
		&c.Listed, &c.Counts.Read, &c.Failed, &c.Created, &c.Updated, &c.Unchanged, &c.Removed,
		&c.Complete, &c.Reason, &c.Message, &c.Start, &c.End)
	return c, err
}

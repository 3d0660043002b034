package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// contextJSON is the context of every run here. It is about as long as that of a sync.
const contextJSON = `{"selection": {"policies": true, "groups": false, "item_types": ["deviceConfiguration", "deviceCompliancePolicy", ` +
	`"settingsCatalogPolicy"]}, "requested_by": "schedule", "schedule": {"frequency": "daily", "at": "03:00", "zone": "UTC"}, "size": 60}`

// seedBatch is how many runs one statement inserts.
const seedBatch = 100_000

// seedRuns inserts the completed runs first to last of so many, with their events. They are
// spread evenly over the last 90 days, two workspaces, a few types, a hundred tenants and
// twenty people. One in ten failed; one in twenty is an imported run.
const seedRuns = `
	with n as (
		insert into operation_runs (workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash, context,
			summary_counts, failure_summary, created_at, started_at, completed_at, updated_at, lease_epoch, attempt, max_attempts,
			event_count, traceparent, retry_of, retry_number, parent_run_id, origin)
		select 1 + (n %% 10 = 9)::int, 1 + n %% 100, case when n %% 4 = 1 then 1 + n %% 20 end, 'Person ' || n %% 20,
			(array['inventory_sync', 'backup_schedule_run', 'entra_group_sync', 'drift_generate_findings'])[1 + n %% 4],
			'completed', case when n %% 10 = 0 then 'failed' else 'succeeded' end, sha256(n::text::bytea),
			case when n %% 20 = 1 then jsonb_build_object('legacy', jsonb_build_object('source', 'sync_runs', 'id', n::text)) else '%s' end,
			'{"total": 60, "processed": 60}', case when n %% 10 = 0
				then '[{"code": "GRAPH_ERROR", "reason_code": "GRAPH_THROTTLED", "message": "Too many requests", "retryable": true}]'
				else '[]' end::jsonb,
			t.at, t.at, t.at + make_interval(secs => 1 + n %% 60), t.at + make_interval(secs => 1 + n %% 60), 1, 1, 3,
			2, '00-' || md5(n::text) || '-' || left(md5(n::text), 16) || '-01',
			case when n %% 100 = 4 then n - 1 end, (n %% 100 = 4)::int, case when n %% 50 = 2 then n - 1 end,
			case when n %% 20 = 1 then 'legacy' else 'live' end
		from generate_series(%d, %d) n, lateral (select now() - interval '90 days' * (1 - n::float8 / %d) - interval '2 minutes' as at) t
		returning id, workspace_id, created_at, completed_at, initiator_name, outcome, type
	), b as (
		insert into run_label (workspace_id, key, value, created_at, run_id)
		select workspace_id, 'selection_hash', 'hash-' || id %% 100, created_at, id from n where type = 'inventory_sync'
	)
	insert into run_event (run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, created_at, 'created', initiator_name, 'running', 'pending', 1, 1 from n
	union all
	select id, 2, completed_at, 'completed', 'inventory', 'completed', outcome, 1, 1 from n`

func (w *world) seed(ctx context.Context, database string, rows int) error {
	for first := 1; first <= rows; first += seedBatch {
		statement := fmt.Sprintf(seedRuns, contextJSON, first, min(first+seedBatch-1, rows), rows)
		if err := w.exec1(ctx, database, statement); err != nil {
			return err
		}
	}
	return nil
}

const foldedRuns = "select coalesce(sum(runs), 0)::bigint from run_stat where grain = 'hour' and measure = 'outcome'"

// settle runs the service until it has folded the seeded runs into its statistics, so that no
// turn pays for that.
func (w *world) settle(ctx context.Context, database string, rows int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	t := &turn{world: w, database: database}
	svc, err := t.serve(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		folded, err := w.number(ctx, database, foldedRuns)
		if err != nil {
			return err
		}
		if folded == int64(rows) {
			return nil
		}
		if err := until(ctx, timer, time.Now().Add(100*time.Millisecond)); err != nil {
			return fmt.Errorf("%d of %d runs are in the statistics: %w", folded, rows, err)
		}
	}
}

-- +goose Up

-- Runs whose moments are out of order, which imported ones may be, or more than
-- an hour apart. Of all others a bound of one moment says within an hour where
-- they are in the order of another; these few are looked for beyond it. A run
-- that is not one of them has no entry here. ADR 0012.
create index run_unusual on operation_runs (workspace_id, created_at desc, id desc)
	where started_at < created_at or completed_at < created_at or completed_at < started_at
		or coalesce(completed_at, started_at) - created_at > interval '1 hour';
create index run_unusual_by_completion on operation_runs (workspace_id, completed_at desc, id desc)
	where status = 'completed' and (started_at < created_at or completed_at < created_at or completed_at < started_at
		or coalesce(completed_at, started_at) - created_at > interval '1 hour');

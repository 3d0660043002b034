package proof

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// The invariants of the store, which hold at every instant. Each statement returns the runs
// that violate one.
var invariants = map[string]string{
	"an identity has one active run": `
		select min(id) from operation_runs where status <> 'completed' and origin = 'live'
		group by workspace_id, type, run_identity_hash having count(*) > 1`,
	"a running run has a lease under its epoch, and nobody else has one": `
		select r.id from operation_runs r full join run_lease l on l.run_id = r.id
		where (r.status = 'running') <> (l.run_id is not null) or l.epoch <> r.lease_epoch`,
	"events are numbered from 1 without gaps": `
		select run_id from run_event group by run_id having min(sequence) <> 1 or max(sequence) <> count(*)`,
	"a run knows how many events there were until it ended": `
		select r.id from operation_runs r
		where r.event_count <> (select count(*) from run_event e where e.run_id = r.id
			and (e.kind <> 'late_completion_rejected' or e.status <> 'completed'))`,
	"a history begins with the creation, and has one": `
		select r.id from operation_runs r left join run_event e on e.run_id = r.id and e.kind = 'created' group by r.id
		having count(e.run_id) <> 1 or min(e.sequence) <> 1`,
	"a completed run has one terminal event, an active one none": `
		select r.id from operation_runs r left join run_event e on e.run_id = r.id and e.kind = 'completed' group by r.id
		having count(e.run_id) <> (r.status = 'completed')::int`,
	"nothing moves a run that ended": `
		select e.run_id from run_event e join run_event c on c.run_id = e.run_id and c.kind = 'completed' and e.sequence > c.sequence
		where e.kind <> 'late_completion_rejected'`,
	"the events replay to the row": `
		select r.id from operation_runs r cross join lateral (
			select * from run_event e where e.run_id = r.id and e.kind <> 'late_completion_rejected' order by sequence desc limit 1) e
		where (e.status, e.outcome, e.lease_epoch, e.attempt) is distinct from (r.status, r.outcome, r.lease_epoch, r.attempt)`,
	"an event leads where its kind says": `
		select run_id from run_event where kind <> 'late_completion_rejected' and status not in (
			select unnest(case kind when 'created' then array['queued', 'running'] when 'begun' then array['running']
				when 'cancel_requested' then array['running'] when 'requeued' then array['queued'] when 'released' then array['queued']
				when 'completed' then array['completed'] else array[]::text[] end))`,
	"begin, requeue and release raise the epoch by one, nothing else does": `
		select run_id from (select *, lag(lease_epoch) over (partition by run_id order by sequence) as before from run_event
			where kind <> 'late_completion_rejected') e
		where before is not null and lease_epoch - before <> (kind in ('begun', 'requeued', 'released'))::int`,
	"an epoch is begun once": `
		select run_id from run_event where kind = 'begun' group by run_id, lease_epoch having count(*) > 1`,
	"what belongs to a run has one": `
		select run_id from (select run_id from run_event union select run_id from run_lease union select run_id from run_request
			union select run_id from run_label) o
		where not exists (select from operation_runs r where r.id = o.run_id)`,
}

// audit requires that no run violates an invariant now.
func audit(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	for what, sql := range invariants {
		require.Empty(t, ids(t, db, "select * from ("+sql+") x limit 5"), "not true: %s", what)
	}
}

func ids(t *testing.T, db *pgxpool.Pool, sql string, args ...any) []int64 {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return found
}

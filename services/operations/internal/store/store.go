// Package store is all the SQL of operations. The hot path (start, begin,
// progress, complete) is one guarded statement each; when a guard refuses, the
// row is read and the domain says why. Everything else locks the row, asks the
// domain and writes what it decided. A test proves that both agree.
package store

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations answers the schema's history, oldest first.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Store keeps runs in one PostgreSQL database.
type Store struct {
	db      *pgxpool.Pool
	types   run.Types
	owners  owners
	metrics *metrics

	starts    group[run.Start, *row]
	begins    group[beginning, *row]
	reports   group[report, *Heartbeat]
	completes group[completing, *row]

	moved      func() // see OnCommit
	progressed func(ids []int64)
}

// Settings are for the connections of a store's pool. Every statement has an
// index to go by, but a plan is kept, and one made while a table happened to be
// empty would read all of it for each run from then on: leases come and go, and
// each that went is read over until the next vacuum.
func Settings() []pg.Setting { return []pg.Setting{{Name: "enable_seqscan", Value: "off"}} }

// New answers a store over db, a pool of the application role with [Settings].
func New(db *pgxpool.Pool, types run.Types) *Store {
	s := &Store{db: db, types: types, owners: ownersOf(types), metrics: newMetrics().known(types), moved: func() {}, progressed: func([]int64) {}}
	s.starts.run, s.starts.keys = s.startAll, startKeys
	s.begins.run, s.begins.keys = s.beginAll, func(a beginning) keys { return keys{uint64(a.id)} }
	s.reports.run, s.reports.keys = s.reportAll, func(a report) keys { return keys{uint64(a.id)} }
	s.completes.run, s.completes.keys = s.completeAll, func(a completing) keys { return keys{uint64(a.id)} }
	return s.measured()
}

// Ungroup gives every call a statement and a commit of its own, as many at once
// as there are connections: what grouping is measured against. It comes before
// the first call.
func (s *Store) Ungroup() {
	s.starts.alone, s.begins.alone, s.reports.alone, s.completes.alone = true, true, true, true
}

// measured is s with its groups measured.
func (s *Store) measured() *Store {
	s.starts.meter, s.begins.meter = s.metrics.meter("start"), s.metrics.meter("begin")
	s.reports.meter, s.completes.meter = s.metrics.meter("progress"), s.metrics.meter("complete")
	return s
}

// owners are the run types as parameters of statements: who owns each, and how
// long its leases last, in seconds.
type owners struct {
	types, names []string
	leases       []float64
}

func ownersOf(types run.Types) owners {
	var o owners
	for _, t := range types.List() {
		o.types, o.names, o.leases = append(o.types, t.Name), append(o.names, t.Owner), append(o.leases, t.Lease.Seconds())
	}
	return o
}

// querier is what a statement runs on: the pool, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// row is a run as selected by the columns of runColumns, in order.
type row struct {
	run.Run
	now time.Time // the database's clock when it was read
}

// runColumns are selected from operation_runs r left join run_lease l. While a
// run is leased its counters are those last reported.
const runColumns = columnsBefore + `r.failure_summary, r.context,` + columnsAfter

// basicColumns are runColumns without what may be large.
const basicColumns = columnsBefore + `'[]'::jsonb, '{}'::jsonb,` + columnsAfter

const columnsBefore = `
	r.id, r.workspace_id, r.tenant_id, r.user_id, r.initiator_name, r.type, r.status, r.outcome, r.run_identity_hash,
	case when l.summary_counts <> '{}' then l.summary_counts else r.summary_counts end, `

const columnsAfter = `
	r.started_at, r.completed_at, r.created_at, r.updated_at, r.queued_at, r.lease_epoch, r.released_epoch,
	r.cancel_requested_at, r.cancel_requested_by, r.cancel_reason, r.attempt, r.max_attempts, r.retry_of, r.retry_number,
	r.parent_run_id, r.traceparent, r.origin, r.completion_digest, l.holder, l.expires_at, clock_timestamp()`

func scan(rows pgx.CollectableRow) (*row, error) { return scanAfter(rows) }

// scanAfter scans a run that is selected after other columns.
func scanAfter(rows pgx.CollectableRow, before ...any) (*row, error) {
	var r row
	var cancelAt, leaseUntil *time.Time
	var cancelBy, cancelReason, holder *string
	var counts, failures []byte
	err := rows.Scan(append(before,
		&r.ID, &r.WorkspaceID, &r.TenantID, &r.UserID, &r.InitiatorName, &r.Type, &r.Status, &r.Outcome, &r.IdentityHash,
		&counts, &failures, (*[]byte)(&r.Context), // as bytes: pgx would parse a RawMessage to see that it is one
		&r.StartedAt, &r.CompletedAt, &r.CreatedAt, &r.UpdatedAt, &r.QueuedAt, &r.Epoch, &r.ReleasedEpoch,
		&cancelAt, &cancelBy, &cancelReason, &r.Attempt, &r.MaxAttempts, &r.RetryOf, &r.RetryNumber,
		&r.ParentRunID, &r.Traceparent, &r.Origin, &r.CompletionDigest, &holder, &leaseUntil, &r.now)...)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unmarshal(counts, &r.Counts), unmarshal(failures, &r.Failures)); err != nil {
		return nil, fmt.Errorf("run %d: %w", r.ID, err)
	}
	if cancelAt != nil {
		r.Cancel = &run.CancelRequest{At: *cancelAt, By: deref(cancelBy), Reason: deref(cancelReason)}
	}
	if leaseUntil != nil {
		r.Lease = &run.Lease{Holder: deref(holder), ExpiresAt: *leaseUntil}
	}
	return &r, nil
}

// unmarshal reads stored JSON into v, unless it is {} or [], as it mostly is.
func unmarshal(raw []byte, v any) error {
	if len(raw) == len("{}") {
		return nil
	}
	return json.Unmarshal(raw, v)
}

// deref is what p points to, or the zero value.
func deref[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}

// one answers the single run sql selects, or nil.
func one(ctx context.Context, q querier, sql string, args ...any) (*row, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

// placed answers the runs sql selects after the place of their ask, counted from
// 1 of n; nil where none is. Those that came before an error are none.
func placed(ctx context.Context, q querier, n int, sql string, args ...any) ([]*row, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	found := make([]*row, n)
	_, err = pgx.CollectRows(rows, func(c pgx.CollectableRow) (struct{}, error) {
		var place int
		r, err := scanAfter(c, &place)
		if err == nil {
			found[place-1] = r
		}
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// jsonText is v as PostgreSQL reads jsonb out of text.
func jsonText(v any) (string, error) {
	raw, err := json.Marshal(v)
	return string(raw), err
}

const getRun = `-- store.getRun
	select` + runColumns + `
	from operation_runs r left join run_lease l on l.run_id = r.id
	where r.id = $1`

// Get answers run id, or [errs.NotFound].
func (s *Store) Get(ctx context.Context, id int64) (*run.Run, error) {
	r, err := one(ctx, s.db, getRun, id)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, errs.NotFound("run")
	}
	return &r.Run, nil
}

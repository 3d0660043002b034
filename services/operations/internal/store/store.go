// Package store is the SQL of runs. Sums over runs are below it: see the rooms
// statistics and retention.
//
// The calls of the hot path (start, begin, progress, complete) execute one guarded
// statement each, shared with concurrent calls: see package commit. If the guard
// refuses a call, the store locks the run and asks the domain ([run.Run]), which
// knows the reason. All other changes lock the run and write what the domain
// decides. The model test of the api room proves that the guards and the domain agree.
//
// Names:
//
//	getRunSQL      a statement, in traces store.getRun; one that gets arrays is a [statement]
//	Start          a public method has the verb of its RPC
//	StartBatch     the same for many calls, each with its own result and error
//	StartTogether  the same, but a call that no shared statement can do fails with [ErrAlone]
//	startGroup     the commit group in which such calls wait
//	beginCall      a call in a group (for starts, it is [run.Start] itself)
//	execStarts     executes one statement for the calls of a group
//	ordinal        the number of a call in its statement, from 1, as in SQL's "with ordinality"
//	Cursor         a place in a list of runs; a place in the order of events is a
//	               Position, of package snapshot
//	rank           the number of a queued run among those of its tenant, from 1
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
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the migrations of the schema.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Store keeps runs in one PostgreSQL database.
type Store struct {
	db       *pgxpool.Pool
	types    run.Types
	typeList []run.Type // types, as statements get them
	metrics  *metrics

	maxQueued int // runs of a workspace; see LimitQueue

	startGroup    *commit.Group[run.Start, *row]
	beginGroup    *commit.Group[beginCall, *row]
	progressGroup *commit.Group[progressCall, *Heartbeat]
	completeGroup *commit.Group[completeCall, *row]

	onCommit   func() // see OnCommit
	onProgress func(ids []int64)
}

// Settings are for the connections of a store's pool. PostgreSQL keeps the plan of a
// prepared statement. A plan made while a table was empty reads the whole table, and
// would still do so when it is full. Every statement here has an index, so whole
// tables need never be read.
func Settings() []pg.Setting { return []pg.Setting{{Name: "enable_seqscan", Value: "off"}} }

// New returns a store of runs of types in db, a pool of the application role with
// [Settings]. The number of queued runs has no limit until [Store.LimitQueue] sets one.
func New(db *pgxpool.Pool, types run.Types) *Store {
	s := &Store{db: db, types: types, typeList: types.List(), maxQueued: noLimit, metrics: newMetrics(types), onCommit: func() {}, onProgress: func([]int64) {}}
	byRun := func(id int64) commit.Keys { return commit.Keys{uint64(id)} }
	s.startGroup = commit.New(s.metrics.groups, "start", startKeys, s.execStarts)
	s.beginGroup = commit.New(s.metrics.groups, "begin", func(c beginCall) commit.Keys { return byRun(c.id) }, s.execBegins)
	s.progressGroup = commit.New(s.metrics.groups, "progress", func(c progressCall) commit.Keys { return byRun(c.id) }, s.execProgress)
	s.completeGroup = commit.New(s.metrics.groups, "complete", func(c completeCall) commit.Keys { return byRun(c.id) }, s.execCompletes)
	return s
}

// Ungroup gives every call a statement and a commit of its own. The benchmark
// measures groups against it. Call it before the first call.
func (s *Store) Ungroup() {
	s.startGroup.Ungroup()
	s.beginGroup.Ungroup()
	s.progressGroup.Ungroup()
	s.completeGroup.Ungroup()
}

// querier is what a statement runs on: the pool, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// row is a run read by the columns of runColumns.
type row struct {
	run.Run
	now time.Time // the database's clock when the run was read
}

// runColumns are the columns of a run, of operation_runs r left join run_lease l.
// The counters of a leased run are those of the last heartbeat.
const runColumns = columnsBefore + `r.failure_summary, r.context,` + columnsAfter

// basicColumns are runColumns without failures and context, which may be large.
const basicColumns = columnsBefore + `'[]'::jsonb, '{}'::jsonb,` + columnsAfter

const columnsBefore = `
	r.id, r.workspace_id, r.tenant_id, r.user_id, r.initiator_name, r.type, r.status, r.outcome, r.run_identity_hash,
	case when l.summary_counts <> '{}' then l.summary_counts else r.summary_counts end, `

const columnsAfter = `
	r.started_at, r.completed_at, r.created_at, r.updated_at, r.queued_at, r.lease_epoch, r.released_epoch,
	r.cancel_requested_at, r.cancel_requested_by, r.cancel_reason, r.attempt, r.max_attempts, r.retry_of, r.retry_number,
	r.parent_run_id, r.traceparent, r.origin, r.completion_digest, l.holder, l.expires_at, clock_timestamp()`

func scanRun(rows pgx.CollectableRow) (*row, error) { return scanRunAfter(rows) }

// scanRunAfter scans columns into before and those that follow into a run.
func scanRunAfter(rows pgx.CollectableRow, before ...any) (*row, error) {
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

// unmarshal decodes stored JSON into v. Mostly it is {} or [], and nothing to decode.
func unmarshal(raw []byte, v any) error {
	if len(raw) == len("{}") {
		return nil
	}
	return json.Unmarshal(raw, v)
}

// deref returns what p points to, or the zero value.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// queryRun returns the run that sql selects, or nil.
func queryRun(ctx context.Context, q querier, sql string, args ...any) (*row, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRun)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

// queryByOrdinal executes a statement for n calls. Each row it returns is an ordinal
// and a run. The run of ordinal 1 is the first of the result; nil stands for calls
// without a row. Rows before an error are dropped, since the statement is rolled back.
func queryByOrdinal[I any](ctx context.Context, q querier, n int, s *statement[I], in I) ([]*row, error) {
	rows, err := q.Query(ctx, s.text, s.arguments(in)...)
	if err != nil {
		return nil, err
	}
	found := make([]*row, n)
	_, err = pgx.CollectRows(rows, func(c pgx.CollectableRow) (struct{}, error) {
		var ordinal int
		r, err := scanRunAfter(c, &ordinal)
		if err == nil {
			found[ordinal-1] = r
		}
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// jsonText returns v as JSON text, which PostgreSQL casts to jsonb. It is for values
// that JSON can always express, such as maps of numbers.
func jsonText(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

const getRunSQL = `-- store.getRun
	select` + runColumns + `
	from operation_runs r left join run_lease l on l.run_id = r.id
	where r.id = $1`

// Get returns run id, or [errs.NotFound].
func (s *Store) Get(ctx context.Context, id int64) (*run.Run, error) {
	r, err := queryRun(ctx, s.db, getRunSQL, id)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, errs.NotFound("run")
	}
	return &r.Run, nil
}

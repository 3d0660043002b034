// Package sync is the inventory sync: it reads a tenant's policy types from Graph
// and stores what it sees. Package item decides what it means to see an object, and
// pkg/graph speaks HTTP.
package sync

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/tenants/connect"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// atOnce is how many types of a run are read at the same time: while one waits for
// its list or its last object, the other keeps the connection busy. They share the
// tenant's quota and its limit of requests in flight.
const atOnce = 2

// Syncer syncs tenants. It is safe for concurrent use.
type Syncer struct {
	store   *store.Store
	tenants *connect.Connector
	log     *slog.Logger
	now     func() time.Time
}

// New returns a Syncer.
func New(s *store.Store, tenants *connect.Connector, log *slog.Logger) *Syncer {
	return &Syncer{store: s, tenants: tenants, log: log, now: time.Now}
}

// Job is the body of an inventory_sync run.
func (s *Syncer) Job(ctx context.Context, r *work.Run) (work.Result, error) {
	return s.Sync(ctx, r, r.Progress)
}

// Sync works on run r and reports its counters as they change. Wherever it is
// interrupted, it can be called again for the same run: it does not read again the
// types that the run has read completely, and stores nothing twice of the others.
func (s *Syncer) Sync(ctx context.Context, r *work.Run, report func(map[string]int64)) (work.Result, error) {
	types, err := selection(r)
	if err != nil {
		return work.Result{}, err
	}
	client, cred, err := s.tenants.Connect(ctx, r.WorkspaceID, r.TenantID)
	if err != nil {
		return work.Result{}, err
	}
	j := &job{Syncer: s, run: r, client: client, cred: cred, tally: newTally(report, len(types), s.now)}
	client.OnThrottle(j.throttled)
	client.OnWait(r.Waiting)
	if err := j.resume(ctx, types); err != nil {
		return work.Result{}, err
	}
	if err := j.readAll(ctx, types); err != nil {
		return work.Result{}, err
	}
	return j.tally.result(), nil
}

// selection returns the types that the run was started with.
func selection(r *work.Run) ([]catalog.Type, error) {
	names := r.Context.GetFields()["inputs"].GetStructValue().GetFields()["types"].GetListValue().GetValues()
	types := make([]catalog.Type, len(names))
	for i, name := range names {
		t, ok := catalog.Lookup(name.GetStringValue())
		if !ok {
			return nil, work.Fail(operationsv1.FailureReason_FAILURE_REASON_VALIDATION, "%q is not a policy type this version knows", name.GetStringValue())
		}
		types[i] = t
	}
	if len(types) == 0 {
		return nil, work.Fail(operationsv1.FailureReason_FAILURE_REASON_VALIDATION, "the run names no policy types")
	}
	return types, nil
}

// job is one run while a worker works on it.
type job struct {
	*Syncer
	run    *work.Run
	client *graph.Client
	cred   *connect.Credential
	tally  *tally
}

// resume takes over the types that an earlier attempt of this run read completely.
// What the reads before the run found is what the run expects to find.
func (j *job) resume(ctx context.Context, types []catalog.Type) error {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	latest, err := j.store.LatestCoverage(ctx, j.run.WorkspaceID, j.run.TenantID, names)
	if err != nil {
		return err
	}
	j.tally.expect(latest)
	mine, err := j.store.RunCoverage(ctx, j.run.WorkspaceID, j.run.TenantID, j.run.ID)
	if err != nil {
		return err
	}
	for _, c := range mine {
		if c.Complete {
			j.tally.end(c)
		}
	}
	return nil
}

// readAll reads every type that is not read yet. Its error ends the run. A failure
// of a single type does not: it is in the tally.
func (j *job) readAll(ctx context.Context, types []catalog.Type) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, t := range types {
		if j.tally.ended(t.Name) {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return j.readType(ctx, t)
		})
	}
	return group.Wait()
}

// throttled is called when Graph makes requests of the tenant wait until a time.
func (j *job) throttled(until time.Time) {
	j.tally.throttled(until)
	j.log.Info("throttled", "run_id", j.run.ID, "tenant_id", j.run.TenantID, "until", until)
}

const (
	succeeded = operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
	partially = operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED
	failed    = operationsv1.RunOutcome_RUN_OUTCOME_FAILED

	unknown = operationsv1.FailureReason_FAILURE_REASON_UNKNOWN
)

// incomplete returns c as a read that did not get everything, with the reason.
func incomplete(c item.Coverage, reason operationsv1.FailureReason, message string) item.Coverage {
	c.Complete, c.Reason, c.Message = false, work.ReasonWord(reason), message
	return c
}

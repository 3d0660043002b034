package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/api"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	succeeded = operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
	failed    = operationsv1.RunOutcome_RUN_OUTCOME_FAILED
	cancelled = operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED
	partially = operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED
	pending   = operationsv1.RunOutcome_RUN_OUTCOME_PENDING

	queued    = operationsv1.RunStatus_RUN_STATUS_QUEUED
	running   = operationsv1.RunStatus_RUN_STATUS_RUNNING
	completed = operationsv1.RunStatus_RUN_STATUS_COMPLETED
)

// world is an operations service with a database of its own, and its clients.
type world struct {
	db         *pgtest.DB
	svc        *rpctest.Service
	store      *store.Store
	statistics *statistics.Store
	runs       operationsv1.RunServiceClient // calls as inventory, which owns inventory_sync
	reader     operationsv1.RunReaderServiceClient

	stopHub func()
}

func setup(t *testing.T) *world {
	t.Helper()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	return setupOn(t, db, db.Pool)
}

// setupOn is setup with a pool of the test's choice.
func setupOn(t *testing.T, db *pgtest.DB, pool *pgxpool.Pool, dial ...grpc.DialOption) *world {
	t.Helper()
	types := run.DefaultTypes()
	st, stats := store.New(pool, types), statistics.New(pool)
	pages, err := page.NewSealer(page.RandomKey())
	require.NoError(t, err)
	hub, stopHub := watching(t, st)
	svc := rpctest.Serve(t, operations.Name, func(s grpc.ServiceRegistrar) {
		api.Register(s, api.Parts{
			Runs: st, Statistics: stats, Retention: retention.New(pool, types), Types: types, Pages: pages, Hub: hub,
		})
	})
	conn := svc.Dial(t, "inventory", dial...)
	return &world{
		db: db, svc: svc, store: st, statistics: stats, stopHub: stopHub,
		runs: operationsv1.NewRunServiceClient(conn), reader: operationsv1.NewRunReaderServiceClient(conn),
	}
}

// watching returns a hub that works until the test ends or stops it.
func watching(t *testing.T, st *store.Store) (*watch.Hub, func()) {
	t.Helper()
	hub := watch.New(st, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { hub.Run(ctx); close(ended) }()
	stopHub := func() { stop(); <-ended }
	t.Cleanup(stopHub)
	return hub, stopHub
}

// as returns clients that call for a user with a role in workspace 1.
func (w *world) as(t *testing.T, role actor.Role) (operationsv1.RunServiceClient, operationsv1.RunReaderServiceClient) {
	t.Helper()
	conn := w.svc.DialActor(t, "gateway", actor.Actor{
		UserID: 7, Name: "Ada Byron", Memberships: []actor.Membership{{WorkspaceID: 1, Role: role}},
	})
	return operationsv1.NewRunServiceClient(conn), operationsv1.NewRunReaderServiceClient(conn)
}

func sync(inputs string) *operationsv1.StartRunRequest {
	tenant := int64(5)
	return &operationsv1.StartRunRequest{WorkspaceId: 1, TenantId: &tenant, Type: "inventory_sync", IdentityInputs: inputs}
}

func (w *world) start(t *testing.T, req *operationsv1.StartRunRequest) *operationsv1.Run {
	t.Helper()
	resp, err := w.runs.StartRun(t.Context(), req)
	require.NoError(t, err)
	return resp.Run
}

func (w *world) begin(t *testing.T, id int64, holder string) *operationsv1.Run {
	t.Helper()
	resp, err := w.runs.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: id, Holder: holder})
	require.NoError(t, err)
	return resp.Run
}

func (w *world) get(t *testing.T, id int64) *operationsv1.Run {
	t.Helper()
	resp, err := w.reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: id})
	require.NoError(t, err)
	return resp.Run
}

func (w *world) cancel(t *testing.T, id int64) *operationsv1.Run {
	t.Helper()
	resp, err := w.runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id, Reason: "changed my mind"})
	require.NoError(t, err)
	return resp.Run
}

func (w *world) complete(t *testing.T, r *operationsv1.Run, outcome operationsv1.RunOutcome) *operationsv1.Run {
	t.Helper()
	resp, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: outcome})
	require.NoError(t, err)
	return resp.Run
}

// exec changes rows, for example as time would.
func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := w.db.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (w *world) expire(t *testing.T, id int64) {
	t.Helper()
	w.exec(t, "update run_lease set expires_at = now() - interval '1 second' where run_id = $1", id)
}

func (w *world) reap(t *testing.T) []store.Reaped {
	t.Helper()
	var reaped []store.Reaped
	require.NoError(t, w.store.Reap(context.WithoutCancel(t.Context()), 100, func(r store.Reaped) { reaped = append(reaped, r) }))
	return reaped
}

func (w *world) events(t *testing.T, id int64) []string {
	t.Helper()
	resp, err := w.reader.ListRunEvents(t.Context(), &operationsv1.ListRunEventsRequest{RunId: id})
	require.NoError(t, err)
	var kinds []string
	for i, e := range resp.Events {
		require.EqualValues(t, i+1, e.Sequence)
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// at starts a run, brings it into a state and returns it.
func (w *world) at(t *testing.T, state string) *operationsv1.Run {
	t.Helper()
	r := w.start(t, sync(state+time.Now().String()))
	switch state {
	case "queued":
		return r
	case "overdue in the queue":
		w.exec(t, "update operation_runs set queued_at = now() - interval '2 hours' where id = $1", r.Id)
		return w.get(t, r.Id)
	case "cancelled in the queue":
		return w.cancel(t, r.Id)
	}
	r = w.begin(t, r.Id, "us")
	switch state {
	case "running":
	case "expired":
		w.expire(t, r.Id)
	case "expired in its last attempt":
		w.exec(t, "update operation_runs set attempt = max_attempts where id = $1", r.Id)
		w.expire(t, r.Id)
	case "told to cancel":
		w.cancel(t, r.Id)
	case "told to cancel, expired":
		w.cancel(t, r.Id)
		w.expire(t, r.Id)
	case "told to cancel long ago":
		w.cancel(t, r.Id)
		w.exec(t, "update operation_runs set cancel_requested_at = now() - interval '1 hour' where id = $1", r.Id)
	case "released":
		_, err := w.runs.ReleaseRun(t.Context(), &operationsv1.ReleaseRunRequest{RunId: r.Id, LeaseEpoch: r.LeaseEpoch})
		require.NoError(t, err)
	case "requeued":
		w.expire(t, r.Id)
		require.Len(t, w.reap(t), 1)
	case "taken over":
		w.expire(t, r.Id)
		w.begin(t, r.Id, "them")
	case "succeeded":
		w.complete(t, r, succeeded)
	default:
		t.Fatalf("no state %q", state)
	}
	return w.get(t, r.Id)
}

// say makes one call about r as the worker "us", with an epoch.
func (w *world) say(t *testing.T, call string, r *operationsv1.Run, epoch int64) error {
	t.Helper()
	ctx := t.Context()
	var err error
	switch call {
	case "begin":
		_, err = w.runs.BeginRun(ctx, &operationsv1.BeginRunRequest{RunId: r.Id, Holder: "us"})
	case "begin as another":
		_, err = w.runs.BeginRun(ctx, &operationsv1.BeginRunRequest{RunId: r.Id, Holder: "other"})
	case "progress":
		_, err = w.runs.ReportProgress(ctx, &operationsv1.ReportProgressRequest{RunId: r.Id, LeaseEpoch: epoch})
	case "release":
		_, err = w.runs.ReleaseRun(ctx, &operationsv1.ReleaseRunRequest{RunId: r.Id, LeaseEpoch: epoch})
	case "succeed":
		_, err = w.runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: epoch, Outcome: succeeded})
	case "fail":
		_, err = w.runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: epoch, Outcome: failed})
	case "cancel":
		_, err = w.runs.CancelRun(ctx, &operationsv1.CancelRunRequest{RunId: r.Id})
	case "reap":
		w.reap(t)
	default:
		t.Fatalf("no call %q", call)
	}
	return err
}

func requireRefused(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, fmt.Sprint(code, " ", reason), fmt.Sprint(errs.Code(err), " ", errs.Reason(err)), "%v", err)
}

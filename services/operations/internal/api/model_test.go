package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Random calls are made to the service and to a small model of it, which is written
// from docs/run.md and shares no code with the service. Both must give the same result
// to every call, and have the same runs after every call. So the statements of the hot
// path, which decide in SQL, and the domain, which decides in Go, follow the same rules.
func TestServiceAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	w := setup(t)
	workspace := int64(1000)
	rapid.Check(t, func(r *rapid.T) {
		workspace++
		m := newModel(t, r, w, workspace)
		r.Repeat(m.moves())
		m.endAll()
	})
}

// moves are what may happen. The one without a name is called after each.
func (m *model) moves() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"start": m.start, "begin": m.begin, "progress": m.progress, "release": m.release,
		"complete": m.complete, "cancel": m.cancel, "lease expires": m.expire, "queue deadline": m.overdue,
		"cancel deadline": m.stubborn, "reap": m.reap, "": m.compare,
	}
}

type model struct {
	*rapid.T
	w         *world
	ctx       context.Context
	workspace int64
	runs      []*modelRun
	requests  map[string]asked
	wire      *pgtest.Wire // nil: the connection to the database does not fail
}

func newModel(t *testing.T, r *rapid.T, w *world, workspace int64) *model {
	t.Helper()
	return &model{T: r, w: w, ctx: t.Context(), workspace: workspace, requests: map[string]asked{}}
}

// asked is the first request with an id.
type asked struct {
	body    string
	run     *modelRun
	started bool
}

// pick returns one of the runs.
func (m *model) pick(r *rapid.T) *modelRun {
	if len(m.runs) == 0 {
		r.Skip("no runs")
	}
	return m.runs[rapid.IntRange(0, len(m.runs)-1).Draw(r, "run")]
}

// epochFor returns the epoch of known, or one that is a little too old or too new.
func epochFor(r *rapid.T, known *modelRun) int64 {
	return max(0, known.epoch-rapid.Int64Range(-1, 2).Draw(r, "epochs ago"))
}

// agree requires that the service refused a call for the model's reason, or accepted it
// if that is "".
func agree(r *rapid.T, what string, err error, reason string) {
	if errs.Reason(err) != reason || errs.Code(err) != codeOf[reason] {
		r.Fatalf("%s: the service says %v, the model %q", what, err, reason)
	}
}

func (m *model) start(r *rapid.T) {
	inputs := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "inputs")
	requestID := rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(r, "request id")
	if m.wire != nil && requestID == "" { // a start that may be repeated needs an id
		requestID = rand.Text()
	}
	policy := rapid.SampledFrom([]operationsv1.ConflictPolicy{useExisting, failOnExisting, cancelExisting}).Draw(r, "policy")
	holder := rapid.SampledFrom([]string{"", "w1"}).Draw(r, "holder")
	req := sync(inputs)
	req.WorkspaceId, req.RequestId, req.ConflictPolicy, req.Holder = m.workspace, requestID, policy, holder

	want, wantStarted, reason := m.expectStart(req, fmt.Sprint(inputs, policy, holder))
	resp, err := m.w.runs.StartRun(m.ctx, req)
	agree(r, "start", err, reason)
	if err != nil {
		return
	}
	if want == nil {
		want = createdRun(resp.Run.Id, inputs, holder)
		m.runs = append(m.runs, want)
	}
	if resp.Run.Id != want.id || resp.Started != wantStarted {
		r.Fatalf("start returned run %d started=%v, the model says %d %v", resp.Run.Id, resp.Started, want.id, wantStarted)
	}
	if _, known := m.requests[requestID]; requestID != "" && !known {
		m.requests[requestID] = asked{body: fmt.Sprint(inputs, policy, holder), run: want, started: wantStarted}
	}
}

// expectStart returns the run that stands for req, nil for a new one, and the reason
// why the start is refused.
func (m *model) expectStart(req *operationsv1.StartRunRequest, body string) (r *modelRun, started bool, reason string) {
	if a, ok := m.requests[req.RequestId]; ok && req.RequestId != "" {
		if a.body != body {
			return nil, false, "REQUEST_ID_REUSED"
		}
		return a.run, a.started, ""
	}
	for _, twin := range m.runs {
		if twin.status == "completed" || twin.inputs != req.IdentityInputs {
			continue
		}
		switch req.ConflictPolicy {
		case failOnExisting:
			return nil, false, "RUN_ALREADY_ACTIVE"
		case cancelExisting:
			if twin.supersede() {
				return nil, true, ""
			}
			twin.cancel()
			return nil, false, "RUN_ALREADY_ACTIVE"
		default:
			return twin, false, ""
		}
	}
	return nil, true, ""
}

func (m *model) begin(r *rapid.T) {
	known, holder := m.pick(r), rapid.SampledFrom([]string{"w1", "w2"}).Draw(r, "holder")
	_, err := m.w.runs.BeginRun(m.ctx, &operationsv1.BeginRunRequest{RunId: known.id, Holder: holder})
	agree(r, "begin", err, known.begin(holder))
}

func (m *model) progress(r *rapid.T) {
	known := m.pick(r)
	epoch := epochFor(r, known)
	resp, err := m.w.runs.ReportProgress(m.ctx, &operationsv1.ReportProgressRequest{RunId: known.id, LeaseEpoch: epoch})
	agree(r, "progress", err, known.progress(epoch))
	if err == nil && resp.CancelRequested != known.cancelAsked {
		r.Fatalf("progress says cancel %v, the model %v", resp.CancelRequested, known.cancelAsked)
	}
}

func (m *model) release(r *rapid.T) {
	known := m.pick(r)
	epoch := epochFor(r, known)
	_, err := m.w.runs.ReleaseRun(m.ctx, &operationsv1.ReleaseRunRequest{RunId: known.id, LeaseEpoch: epoch})
	reason := known.release(epoch)
	if m.wire != nil && reason == "" && known.status == "completed" && errs.Reason(err) == "RUN_COMPLETED" {
		return // the first call released and so cancelled it, and its reply was lost
	}
	agree(r, "release", err, reason)
}

func (m *model) complete(r *rapid.T) {
	known := m.pick(r)
	epoch := epochFor(r, known)
	outcome := rapid.SampledFrom([]operationsv1.RunOutcome{succeeded, failed, cancelled, partially}).Draw(r, "outcome")
	_, err := m.w.runs.CompleteRun(m.ctx, &operationsv1.CompleteRunRequest{RunId: known.id, LeaseEpoch: epoch, Outcome: outcome})
	word := strings.ToLower(strings.TrimPrefix(outcome.String(), "RUN_OUTCOME_"))
	agree(r, "complete", err, known.complete(epoch, word))
}

func (m *model) cancel(r *rapid.T) {
	known := m.pick(r)
	_, err := m.w.runs.CancelRun(m.ctx, &operationsv1.CancelRunRequest{RunId: known.id})
	known.cancel()
	agree(r, "cancel", err, "")
}

func (m *model) expire(r *rapid.T) {
	known := m.pick(r)
	if known.status != "running" {
		r.Skip("no lease")
	}
	m.exec("update run_lease set expires_at = now() - interval '1 second' where run_id = $1", known.id)
	known.expired = true
}

func (m *model) overdue(r *rapid.T) {
	known := m.pick(r)
	if known.status != "queued" {
		r.Skip("not queued")
	}
	m.exec("update operation_runs set queued_at = now() - interval '2 hours' where id = $1", known.id)
	known.overdue = true
}

// stubborn is a worker that has not stopped long after it was asked to.
func (m *model) stubborn(r *rapid.T) {
	known := m.pick(r)
	if known.status != "running" || !known.cancelAsked {
		r.Skip("not cancelling")
	}
	m.exec("update operation_runs set cancel_requested_at = now() - interval '2 hours' where id = $1", known.id)
	known.stubborn = true
}

func (m *model) reap(r *rapid.T) {
	err := m.w.store.Reap(m.ctx, 1000, func(store.Reaped) {})
	for m.wire != nil && err != nil { // as the loop does; the server keeps the lock of a lost pass for a moment
		m.untilNobodyReaps()
		err = m.w.store.Reap(m.ctx, 1000, func(store.Reaped) {})
	}
	require.NoError(r, err)
	for _, known := range m.runs {
		known.reap()
	}
}

func (m *model) untilNobodyReaps() {
	require.Eventually(m.T, func() bool {
		var free bool
		const sql = `select not exists (select from pg_locks where locktype = 'advisory'
			and database = (select oid from pg_database where datname = current_database()))`
		return m.w.db.Pool.QueryRow(m.ctx, sql).Scan(&free) == nil && free
	}, 30*time.Second, time.Millisecond)
}

// compare checks every run of the service against the model.
func (m *model) compare(r *rapid.T) {
	for _, known := range m.runs {
		stored, err := m.w.store.Get(m.ctx, known.id)
		require.NoError(r, err)
		if known.String() != describe(stored) {
			r.Fatalf("run %d is %s, the model says %s", known.id, describe(stored), known)
		}
	}
}

// describe returns what service and model must agree on: all but times.
func describe(r *run.Run) string {
	holder, reasons := "", []string{}
	if r.Lease != nil {
		holder = r.Lease.Holder
	}
	for _, f := range r.Failures {
		reasons = append(reasons, f.Reason)
	}
	return fmt.Sprintf("%s/%s epoch %d attempt %d held by %q cancel %v started %v ended %v queued %v failures %v",
		r.Status, r.Outcome, r.Epoch, r.Attempt, holder, r.Cancel != nil, r.StartedAt != nil, r.CompletedAt != nil,
		r.QueuedAt != nil, reasons)
}

func (m *model) endAll() {
	m.exec("update run_lease set expires_at = now() + interval '1 hour'")
	m.exec(`update operation_runs set status = 'completed', outcome = 'cancelled', completed_at = now() + interval '1 second',
		released_epoch = null where status <> 'completed' and workspace_id = $1`, m.workspace)
	m.exec("delete from run_lease l using operation_runs r where r.id = l.run_id and r.workspace_id = $1", m.workspace)
}

func (m *model) exec(sql string, args ...any) {
	_, err := m.w.db.Pool.Exec(m.ctx, sql, args...)
	require.NoError(m.T, err)
}

// The connection to the database fails in the middle of calls: statements are lost, or only
// their results. The caller gets UNAVAILABLE and no other error, repeats the same call, and
// then gets the result that the model gives.
func TestServiceAgreesWithTheModelOverABadLine(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	wire := pgtest.NewWire(t, db.URL)
	pool, err := pg.Open(t.Context(), wire.URL(db.URL), 4)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := setupOn(t, db, pool, grpc.WithDisableRetry(), grpc.WithChainUnaryInterceptor(untilAvailable))
	workspace := int64(1000)
	rapid.Check(t, func(r *rapid.T) {
		workspace++
		m := newModel(t, r, w, workspace)
		m.wire = wire
		moves := m.moves()
		for name, move := range moves {
			if name != "" {
				moves[name] = m.faulty(move)
			}
		}
		r.Repeat(moves)
		m.endAll()
	})
	require.Greater(t, wire.Struck(), 20, "the line was too good to prove anything")
	t.Logf("%d faults", wire.Struck())
}

// faulty returns move with a connection that may fail, once or twice.
func (m *model) faulty(move func(*rapid.T)) func(*rapid.T) {
	return func(r *rapid.T) {
		defer m.wire.Disarm()
		for range rapid.IntRange(0, 2).Draw(r, "faults") {
			m.wire.Arm(pgtest.Fault{
				Skip:  rapid.IntRange(0, 8).Draw(r, "after requests"),
				Sent:  rapid.Bool().Draw(r, "sent"),
				Quiet: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 5}).Draw(r, "quiet ms")) * time.Millisecond,
			})
		}
		move(r)
	}
}

// untilAvailable repeats a call as long as it fails with UNAVAILABLE, as a client would.
func untilAvailable(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for range 20 {
		err := invoke(ctx, method, req, reply, conn, opts...)
		if errs.Code(errs.FromStatus(err)) != codes.Unavailable {
			return err
		}
	}
	return errors.New("unavailable for too long")
}

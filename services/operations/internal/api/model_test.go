package api_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Random calls against a small model: the domain's own moves on runs in memory,
// plus the rules of identity and request ids. Service and model must agree on
// every answer and on every run after every call; so the statements of the hot
// path are proven equal to the domain.
func TestServiceAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	w := setup(t)
	types := run.DefaultTypes()
	workspace := int64(1000)
	rapid.Check(t, func(r *rapid.T) {
		workspace++
		m := &model{T: r, w: w, ctx: t.Context(), typ: types["inventory_sync"], workspace: workspace, requests: map[string]asked{}}
		r.Repeat(m.moves())
		m.endAll()
	})
}

// moves are what may happen, and, under no name, what is checked after each.
func (m *model) moves() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"start": m.start, "begin": m.begin, "progress": m.progress, "release": m.release,
		"complete": m.complete, "cancel": m.cancel, "lease expires": m.expire, "queue deadline": m.overdue,
		"reap": m.reap, "": m.compare,
	}
}

type model struct {
	*rapid.T
	w         *world
	ctx       context.Context
	typ       run.Type
	workspace int64
	runs      []*run.Run
	requests  map[string]asked
	wire      *pgtest.Wire // nil: the line is good
}

// asked is what a request id stands for.
type asked struct {
	body    string
	run     *run.Run
	started bool
}

// pick answers one of the runs, or nil if there are none yet.
func (m *model) pick(r *rapid.T) *run.Run {
	if len(m.runs) == 0 {
		r.Skip("no runs")
	}
	return m.runs[rapid.IntRange(0, len(m.runs)-1).Draw(r, "run")]
}

func epochFor(r *rapid.T, known *run.Run) int64 {
	return max(0, known.Epoch-rapid.Int64Range(-1, 2).Draw(r, "epochs ago"))
}

// agree checks that both refused alike, or neither.
func agree(r *rapid.T, what string, service, domain error) {
	if errs.Code(service) != errs.Code(domain) || errs.Reason(service) != errs.Reason(domain) {
		r.Fatalf("%s: the service says %v, the model %v", what, service, domain)
	}
}

func (m *model) start(r *rapid.T) {
	inputs := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "inputs")
	requestID := rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(r, "request id")
	if m.wire != nil && requestID == "" { // who may have to repeat a start gives it an id
		requestID = rand.Text()
	}
	policy := rapid.SampledFrom([]operationsv1.ConflictPolicy{useExisting, failOnExisting, cancelExisting}).Draw(r, "policy")
	holder := rapid.SampledFrom([]string{"", "w1"}).Draw(r, "holder")
	req := sync(inputs)
	req.WorkspaceId, req.RequestId, req.ConflictPolicy, req.Holder = m.workspace, requestID, policy, holder

	want, wantStarted, refusal := m.expectStart(req, fmt.Sprint(inputs, policy, holder))
	resp, err := m.w.runs.StartRun(m.ctx, req)
	agree(r, "start", err, refusal)
	if err != nil {
		return
	}
	if want == nil {
		want = m.created(resp.Run, holder)
		m.runs = append(m.runs, want)
	}
	if resp.Run.Id != want.ID || resp.Started != wantStarted {
		r.Fatalf("start answered run %d started=%v, the model says %d %v", resp.Run.Id, resp.Started, want.ID, wantStarted)
	}
	if _, known := m.requests[requestID]; requestID != "" && !known {
		m.requests[requestID] = asked{body: fmt.Sprint(inputs, policy, holder), run: want, started: wantStarted}
	}
}

// expectStart answers the run that stands for req already; nil: a new one.
func (m *model) expectStart(req *operationsv1.StartRunRequest, body string) (*run.Run, bool, error) {
	if a, ok := m.requests[req.RequestId]; ok && req.RequestId != "" {
		if a.body != body {
			return nil, false, errs.Invalid("request_id", "reused").WithReason(run.ReasonRequestIDReused)
		}
		return a.run, a.started, nil
	}
	hash := hex.EncodeToString(run.Identity(req.TenantId, req.Type, req.IdentityInputs))
	for _, twin := range m.runs {
		if twin.Status == run.Completed || hex.EncodeToString(twin.IdentityHash) != hash {
			continue
		}
		switch req.ConflictPolicy {
		case failOnExisting:
			return nil, false, twin.AlreadyActive()
		case cancelExisting:
			if _, ok := twin.Supersede(time.Now(), "inventory"); ok {
				return nil, true, nil
			}
			twin.RequestCancel(time.Now(), "inventory", "superseded by a newer start")
			return nil, false, twin.AlreadyActive()
		default:
			return twin, false, nil
		}
	}
	return nil, true, nil
}

func (m *model) created(p *operationsv1.Run, holder string) *run.Run {
	hash, _ := hex.DecodeString(p.RunIdentityHash)
	now := time.Now()
	r := &run.Run{ID: p.Id, Type: p.Type, IdentityHash: hash, Status: run.Queued, Outcome: run.Pending, QueuedAt: &now,
		MaxAttempts: m.typ.MaxAttempts, Origin: run.Live}
	if holder != "" {
		r.Status, r.Epoch, r.Attempt, r.StartedAt, r.QueuedAt = run.Running, 1, 1, &now, nil
		r.Lease = &run.Lease{Holder: holder, ExpiresAt: now.Add(m.typ.Lease)}
	}
	return r
}

func (m *model) begin(r *rapid.T) {
	known, holder := m.pick(r), rapid.SampledFrom([]string{"w1", "w2"}).Draw(r, "holder")
	_, err := m.w.runs.BeginRun(m.ctx, &operationsv1.BeginRunRequest{RunId: known.ID, Holder: holder})
	_, want := known.Begin(time.Now(), holder, m.typ.Lease)
	if want == nil {
		want = known.Refusal()
	}
	agree(r, "begin", err, want)
}

func (m *model) progress(r *rapid.T) {
	known := m.pick(r)
	epoch := epochFor(r, known)
	resp, err := m.w.runs.ReportProgress(m.ctx, &operationsv1.ReportProgressRequest{RunId: known.ID, LeaseEpoch: epoch})
	want := known.Progress(epoch)
	agree(r, "progress", err, want)
	if err == nil {
		known.Lease.ExpiresAt = time.Now().Add(m.typ.Lease)
		if resp.CancelRequested != (known.Cancel != nil) {
			r.Fatalf("progress says cancel %v, the model %v", resp.CancelRequested, known.Cancel != nil)
		}
	}
}

func (m *model) release(r *rapid.T) {
	known := m.pick(r)
	epoch := epochFor(r, known)
	_, err := m.w.runs.ReleaseRun(m.ctx, &operationsv1.ReleaseRunRequest{RunId: known.ID, LeaseEpoch: epoch})
	_, want := known.Release(time.Now(), epoch)
	if m.wire != nil && want == nil && known.Status == run.Completed && errs.Reason(err) == run.ReasonCompleted {
		return // released and so cancelled, and repeated by a caller who was not told
	}
	agree(r, "release", err, want)
}

func (m *model) complete(r *rapid.T) {
	known := m.pick(r)
	epoch := epochFor(r, known)
	outcome := rapid.SampledFrom([]operationsv1.RunOutcome{succeeded, failed, cancelled, partially}).Draw(r, "outcome")
	_, err := m.w.runs.CompleteRun(m.ctx, &operationsv1.CompleteRunRequest{RunId: known.ID, LeaseEpoch: epoch, Outcome: outcome})
	names := map[operationsv1.RunOutcome]run.Outcome{succeeded: run.Succeeded, failed: run.Failed, cancelled: run.Cancelled, partially: run.PartiallySucceeded}
	_, want := known.Complete(time.Now(), run.Completion{Epoch: epoch, Outcome: names[outcome], Digest: []byte(names[outcome])})
	agree(r, "complete", err, want)
}

func (m *model) cancel(r *rapid.T) {
	known := m.pick(r)
	_, err := m.w.runs.CancelRun(m.ctx, &operationsv1.CancelRunRequest{RunId: known.ID})
	known.RequestCancel(time.Now(), "inventory", "")
	agree(r, "cancel", err, nil)
}

func (m *model) expire(r *rapid.T) {
	known := m.pick(r)
	if known.Lease == nil {
		r.Skip("no lease")
	}
	m.exec("update run_lease set expires_at = now() - interval '1 second' where run_id = $1", known.ID)
	known.Lease.ExpiresAt = time.Now().Add(-time.Second)
}

func (m *model) overdue(r *rapid.T) {
	known := m.pick(r)
	if known.Status != run.Queued {
		r.Skip("not queued")
	}
	m.exec("update operation_runs set queued_at = now() - interval '2 hours' where id = $1", known.ID)
	past := time.Now().Add(-2 * time.Hour)
	known.QueuedAt = &past
}

func (m *model) reap(r *rapid.T) {
	err := m.w.store.Reap(m.ctx, 1000, func(store.Reaped) {})
	for m.wire != nil && err != nil { // as the loop does; a lost pass has its turn until the server notices
		m.untilNobodyReaps()
		err = m.w.store.Reap(m.ctx, 1000, func(store.Reaped) {})
	}
	require.NoError(r, err)
	for _, known := range m.runs {
		known.Reap(time.Now(), m.typ)
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
		stored, err := m.w.store.Get(m.ctx, known.ID)
		require.NoError(r, err)
		if essence(known) != essence(stored) {
			r.Fatalf("run %d is %s, the model says %s", known.ID, essence(stored), essence(known))
		}
	}
}

// essence is what both must agree on, times aside.
func essence(r *run.Run) string {
	holder, reasons := "-", []string{}
	if r.Lease != nil {
		holder = r.Lease.Holder
	}
	for _, f := range r.Failures {
		reasons = append(reasons, f.Reason)
	}
	return fmt.Sprintf("%s/%s epoch %d attempt %d held by %s cancel %v started %v ended %v queued %v failures %v",
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

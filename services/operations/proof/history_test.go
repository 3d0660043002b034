package proof

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Clients of two replicas make calls about the same few runs at the same time, while
// connections to the database fail. The test records each call with its result and with
// when it began and ended. There must be an order of the calls, each at one moment between
// its beginning and its end, in which a single client would have got the same results
// (linearizability). A call without a result may have happened or not.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), `{"inventory_sync": {"lease": "1h", "cancel_deadline": "1h"}}`)
	s.reapEvery = time.Hour // reaping is part of the history
	var wires []*pgtest.Wire
	var replicas []*caller
	for range 2 {
		wire, address := pgtest.NewWire(t, s.db.URL), rpctest.FreeAddress(t)
		s.serve(t, address, wire.URL(s.db.URL))
		// One health check that fails must not end all calls for a while.
		wires, replicas = append(wires, wire), append(replicas, callerOn(s.dial(t, address, grpc.WithDisableHealthCheck())))
	}
	calls, unknown, decided, rounds := 0, 0, 0, scale(2, 40)
	for round := range rounds {
		h := &history{t: t, s: s, replicas: replicas, began: time.Now(), known: map[string][]life{}}
		h.record(t, wires, round)
		calls, unknown = calls+len(h.operations), unknown+h.unknown
		decided += h.check(t)
	}
	t.Logf("%d calls, %d of them without a response, %d faults, %d histories decided", calls, unknown, wires[0].Struck()+wires[1].Struck(), decided)
	require.GreaterOrEqual(t, decided, rounds*4*9/10, "too many histories were too hard to decide about")
	require.Positive(t, unknown, "every call got a response: nothing was proven")
	audit(t, s.db.Pool)
}

// history is the calls of clients and their results.
type history struct {
	t        *testing.T
	s        *site
	replicas []*caller
	began    time.Time

	mu         sync.Mutex
	operations []operation
	unknown    int
	known      map[string][]life // the runs that clients know, by identity, with their last known epoch
}

// operation is a call about an identity.
type operation struct {
	identity     string
	client       int
	call         call
	answer       answer
	asked, ended int64
}

// record lets clients make calls about four identities while connections fail.
func (h *history) record(t *testing.T, wires []*pgtest.Wire, round int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients, faults errgroup.Group
	for i := range 16 {
		identity := name("round ", round, " identity ", i%4)
		clients.Go(func() error {
			c := &client{history: h, id: i, identity: identity, w: h.replicas[i/4%2], dice: rand.New(rand.NewPCG(rand.Uint64(), 1))} //nolint:gosec // a test's dice
			for range 25 {
				if err := c.act(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	clients.Go(func() error { return h.reap(ctx) })
	faults.Go(func() error {
		fail(ctx, wires)
		return nil
	})
	err := clients.Wait()
	stop()
	require.NoError(t, err)
	require.NoError(t, faults.Wait())
	for _, wire := range wires {
		wire.Disarm()
	}
}

// fail makes a connection fail now and then, until ctx ends.
func fail(ctx context.Context, wires []*pgtest.Wire) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		quiet := time.Duration(rand.IntN(20)) * time.Millisecond //nolint:gosec // a test's dice
		if rand.IntN(50) == 0 {                                  //nolint:gosec // a test's dice
			quiet = patience + patience/2
		}
		wires[rand.IntN(len(wires))].Arm(pgtest.Fault{Sent: rand.IntN(3) > 0, Quiet: quiet}) //nolint:gosec // a test's dice
	}
}

// patience is how long a client waits for a result.
const patience = time.Second

// reap lets leases expire and reaps them now and then, until ctx ends.
func (h *history) reap(ctx context.Context) error {
	st := store.New(h.s.db.Pool, must(run.DefaultTypes().With(h.s.types)))
	for range 15 {
		h.mu.Lock()
		var found []life
		for _, lives := range h.known {
			found = append(found, lives[len(lives)-1])
		}
		h.mu.Unlock()
		if len(found) > 0 {
			if err := h.expire(ctx, found[rand.IntN(len(found))]); err != nil { //nolint:gosec // a test's dice
				return err
			}
		}
		asked := h.now()
		var moved []store.Reaped
		if err := st.Reap(ctx, 100, func(r store.Reaped) { moved = append(moved, r) }); err != nil {
			return err
		}
		ended := h.now()
		for _, m := range moved {
			h.add(operation{identity: h.identityOf(m.Run.ID), client: 98, call: call{kind: "reap", run: m.Run.ID, known: true},
				answer: answer{status: string(m.Run.Status), outcome: string(m.Run.Outcome), epoch: m.Run.Epoch}, asked: asked, ended: ended})
		}
	}
	return nil
}

func (h *history) expire(ctx context.Context, l life) error {
	asked := h.now()
	rows, err := h.s.db.Pool.Query(ctx, "update run_lease set expires_at = now() - interval '1 second' where run_id = $1 returning epoch", l.id)
	if err != nil {
		return err
	}
	epochs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	o := operation{identity: h.identityOf(l.id), client: 99, call: call{kind: "expire", run: l.id, known: true}, asked: asked, ended: h.now()}
	if len(epochs) > 0 {
		o.answer.epoch = epochs[0]
	}
	h.add(o)
	return nil
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

func (h *history) add(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !o.call.known {
		h.unknown++
	}
	h.operations = append(h.operations, o)
}

func (h *history) identityOf(id int64) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for identity, lives := range h.known {
		for _, l := range lives {
			if l.id == id {
				return identity
			}
		}
	}
	h.t.Errorf("run %d was reaped, but only what is known is expired", id)
	return ""
}

func (h *history) hear(identity string, id, epoch int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	lives := h.known[identity]
	for i := range lives {
		if lives[i].id == id {
			lives[i].epoch = max(lives[i].epoch, epoch)
			return
		}
	}
	h.known[identity] = append(lives, life{id: id, epoch: epoch})
}

// client makes calls about one identity, one after the other.
type client struct {
	*history

	id       int
	identity string
	w        *caller
	dice     *rand.Rand
}

// act makes a call, and repeats it until it has a result.
func (c *client) act(ctx context.Context) error {
	ask := c.think()
	for range 4 {
		o := operation{identity: c.identity, client: c.id, call: ask, asked: c.now()}
		bounded, cancel := context.WithTimeout(ctx, patience)
		said, err := c.say(bounded, ask)
		cancel()
		o.answer, o.ended = said, c.now()
		switch errs.Code(err) {
		case codes.OK:
			o.call.known = true
		case codes.Unavailable: // it happened before the connection failed, or not at all
		case codes.DeadlineExceeded: // it may still be happening
			o.ended = math.MaxInt64
		case codes.Aborted, codes.FailedPrecondition:
			o.call.known, o.answer = true, answer{reason: errs.Reason(err)}
		default:
			return err
		}
		if o.answer.reason == "LOST_RACE" { // it did not happen
			o.call.known = false
		}
		if o.call.known || ask.kind != "get" {
			c.add(o)
		}
		if o.call.known {
			return nil
		}
	}
	return nil
}

// think decides which call to make next.
func (c *client) think() call {
	c.mu.Lock()
	lives := slices.Clone(c.known[c.identity])
	c.mu.Unlock()
	holder := name("holder ", c.id)
	if len(lives) == 0 || c.dice.IntN(4) == 0 {
		return call{kind: "start", request: name(c.identity, " ", c.id, " ", c.dice.Uint64()), policy: []string{"use", "fail", "cancel"}[c.dice.IntN(3)],
			holder: []string{"", holder}[c.dice.IntN(2)]}
	}
	l := lives[max(0, len(lives)-1-c.dice.IntN(8)/7)] // the last, rarely the one before
	kind := []string{"begin", "begin", "report", "report", "release", "complete", "complete", "cancel", "get", "get"}[c.dice.IntN(10)]
	ask := call{kind: kind, run: l.id}
	switch kind {
	case "begin":
		ask.holder = holder
	case "complete":
		ask.epoch, ask.outcome = l.epoch, []string{"succeeded", "failed"}[c.dice.IntN(2)]
	case "report", "release":
		ask.epoch = l.epoch
	}
	return ask
}

// say makes the call.
func (c *client) say(ctx context.Context, ask call) (answer, error) {
	switch ask.kind {
	case "start":
		return c.start(ctx, ask)
	case "begin":
		resp, err := c.w.runs.BeginRun(ctx, &operationsv1.BeginRunRequest{RunId: ask.run, Holder: ask.holder})
		if err != nil {
			return answer{}, err
		}
		c.hear(c.identity, ask.run, resp.Run.LeaseEpoch)
		return answer{epoch: resp.Run.LeaseEpoch}, nil
	case "report":
		resp, err := c.w.runs.ReportProgress(ctx, &operationsv1.ReportProgressRequest{RunId: ask.run, LeaseEpoch: ask.epoch})
		return answer{cancel: resp.GetCancelRequested()}, err
	case "release":
		_, err := c.w.runs.ReleaseRun(ctx, &operationsv1.ReleaseRunRequest{RunId: ask.run, LeaseEpoch: ask.epoch})
		return answer{}, err
	case "complete":
		outcome := map[string]operationsv1.RunOutcome{"succeeded": succeeded, "failed": failed}[ask.outcome]
		_, err := c.w.runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{RunId: ask.run, LeaseEpoch: ask.epoch, Outcome: outcome})
		return answer{}, err
	case "cancel":
		resp, err := c.w.runs.CancelRun(ctx, &operationsv1.CancelRunRequest{RunId: ask.run})
		return answer{status: word(resp.GetRun().GetStatus().String())}, err
	}
	resp, err := c.w.reader.GetRun(ctx, &operationsv1.GetRunRequest{RunId: ask.run})
	r := resp.GetRun()
	return answer{status: word(r.GetStatus().String()), outcome: word(r.GetOutcome().String()), epoch: r.GetLeaseEpoch(), cancel: r.GetCancelRequestTime() != nil}, err
}

func (c *client) start(ctx context.Context, ask call) (answer, error) {
	req := syncOf(c.identity, ask.request, ask.holder)
	req.ConflictPolicy = map[string]operationsv1.ConflictPolicy{
		"use":    operationsv1.ConflictPolicy_CONFLICT_POLICY_USE_EXISTING,
		"fail":   operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL,
		"cancel": operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING,
	}[ask.policy]
	resp, err := c.w.runs.StartRun(ctx, req)
	if err != nil {
		return answer{}, err
	}
	c.hear(c.identity, resp.Run.Id, resp.Run.LeaseEpoch)
	return answer{run: resp.Run.Id, started: resp.Started}, nil
}

// word returns the last word of an enum's value, as it is stored.
func word(value string) string {
	return strings.ToLower(value[strings.LastIndex(value, "_")+1:])
}

// check searches for an order that explains the history of each identity, and returns for
// how many it found one. If many calls have no result, the search may take too long; such
// identities do not count.
func (h *history) check(t *testing.T) (decided int) {
	t.Helper()
	became := h.requests(t)
	byIdentity := map[string][]porcupine.Operation{}
	for _, o := range h.operations {
		if !o.call.known && o.call.kind == "start" {
			o.call.became = became[o.call.request]
		}
		byIdentity[o.identity] = append(byIdentity[o.identity], porcupine.Operation{
			ClientId: o.client, Input: o.call, Output: o.answer, Call: o.asked, Return: o.ended,
		})
	}
	for identity, operations := range byIdentity {
		result := porcupine.CheckOperationsTimeout(model(), operations, 10*time.Second)
		switch result {
		case porcupine.Ok:
			decided++
			continue
		case porcupine.Unknown:
			continue
		}
		_, info := porcupine.CheckOperationsVerbose(model(), operations, 10*time.Second)
		path := filepath.Join(os.TempDir(), "history-"+strings.ReplaceAll(identity, " ", "-")+".html")
		require.NoError(t, porcupine.VisualizePath(model(), info, path))
		t.Fatalf("%s: %d calls: %s; see %s", identity, len(operations), result, path)
	}
	return decided
}

// requests returns what each request id stands for at the end.
func (h *history) requests(t *testing.T) map[string]asked {
	t.Helper()
	rows, err := h.s.db.Pool.Query(t.Context(), "select request_id, run_id, started from run_request")
	require.NoError(t, err)
	found := map[string]asked{}
	var a asked
	_, err = pgx.ForEachRow(rows, []any{&a.request, &a.run, &a.started}, func() error {
		found[a.request] = a
		return nil
	})
	require.NoError(t, err)
	return found
}

func must(types run.Types, err error) run.Types {
	if err != nil {
		panic(err)
	}
	return types
}

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
	"github.com/tenantpilot/tenantpilot/pkg/work/collect"
)

// player calls the service and records what was acknowledged.
type player struct {
	service *service
	runs    func(caller int) operationsv1.RunServiceClient
	view    operationsv1.RunView // that completions ask for
	context *structpb.Struct
	next    atomic.Int64 // makes every identity unique

	mu    sync.Mutex
	ended []int64 // runs whose end was acknowledged
	begun []int64 // runs whose start was acknowledged, and that were not ended
}

func newPlayer(s *service) (*player, error) {
	p := &player{service: s, runs: s.runs, context: &structpb.Struct{}}
	return p, p.context.UnmarshalJSON([]byte(contextJSON))
}

// collect makes all callers share the client that the services use, which collects
// their calls into batches. They complete runs as the worker of pkg/work does: they
// ask for responses without context and failures.
func (p *player) collect() {
	shared := collect.New(p.service.conns[0])
	p.runs = func(int) operationsv1.RunServiceClient { return shared }
	p.view = operationsv1.RunView_RUN_VIEW_BASIC
}

var errAnswer = errors.New("the response is not what the call requires")

// startRequest returns a request for a new run. Without a holder the run is queued.
func (p *player) startRequest(holder string) *operationsv1.StartRunRequest {
	return &operationsv1.StartRunRequest{
		WorkspaceId: 1, TenantId: proto.Int64(5), Type: runType, Holder: holder, Context: p.context,
		IdentityInputs: fmt.Sprintf("bench/%d", p.next.Add(1)),
	}
}

func (p *player) completeRequest(r *operationsv1.Run) *operationsv1.CompleteRunRequest {
	return &operationsv1.CompleteRunRequest{
		RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED,
		SummaryCounts: map[string]int64{"total": 60, "processed": 60}, View: p.view,
	}
}

func (p *player) start(ctx context.Context, c int, holder string) (*operationsv1.Run, error) {
	resp, err := p.runs(c).StartRun(ctx, p.startRequest(holder))
	switch {
	case err != nil:
		return nil, fmt.Errorf("start: %w", err)
	case !resp.Started:
		return nil, fmt.Errorf("start: %w", errAnswer)
	}
	return resp.Run, nil
}

func (p *player) complete(ctx context.Context, c int, r *operationsv1.Run) error {
	resp, err := p.runs(c).CompleteRun(ctx, p.completeRequest(r))
	switch {
	case err != nil:
		return fmt.Errorf("complete: %w", err)
	case resp.Run.Status != operationsv1.RunStatus_RUN_STATUS_COMPLETED:
		return fmt.Errorf("complete: %w", errAnswer)
	}
	p.acknowledged(resp.Run.Id)
	return nil
}

func (p *player) acknowledged(ids ...int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, ids...)
}

// pair does a run in two calls.
func (p *player) pair(ctx context.Context, c int) error {
	r, err := p.start(ctx, c, "bench")
	if err != nil {
		return err
	}
	return p.complete(ctx, c, r)
}

// triple does a run in three calls.
func (p *player) triple(ctx context.Context, c int) error {
	r, err := p.start(ctx, c, "")
	if err != nil {
		return err
	}
	resp, err := p.runs(c).BeginRun(ctx, &operationsv1.BeginRunRequest{RunId: r.Id, Holder: "bench"})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return p.complete(ctx, c, resp.Run)
}

// batchSize is the number of runs of a batch call.
const batchSize = 100

// batch does batchSize runs in two calls.
func (p *player) batch(ctx context.Context, c int) error {
	runs, err := p.startMany(ctx, c, batchSize)
	if err != nil {
		return err
	}
	complete := &operationsv1.BatchCompleteRunsRequest{}
	for _, r := range runs {
		complete.Requests = append(complete.Requests, p.completeRequest(r))
	}
	ended, err := p.runs(c).BatchCompleteRuns(ctx, complete)
	if err != nil {
		return fmt.Errorf("complete a batch: %w", err)
	}
	for i, result := range ended.Results {
		if got := result.GetResponse().GetRun(); got.GetId() != runs[i].Id || got.Status != operationsv1.RunStatus_RUN_STATUS_COMPLETED {
			return fmt.Errorf("complete a batch: %w: %v", errAnswer, result)
		}
		p.acknowledged(runs[i].Id)
	}
	return nil
}

func (p *player) startMany(ctx context.Context, c, n int) ([]*operationsv1.Run, error) {
	req := &operationsv1.BatchStartRunsRequest{}
	for range n {
		req.Requests = append(req.Requests, p.startRequest("bench"))
	}
	resp, err := p.runs(c).BatchStartRuns(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("start a batch: %w", err)
	}
	var runs []*operationsv1.Run
	for _, result := range resp.Results {
		if !result.GetResponse().GetStarted() {
			return nil, fmt.Errorf("start a batch: %w: %v", errAnswer, result)
		}
		runs = append(runs, result.GetResponse().GetRun())
	}
	return runs, nil
}

// audit checks that every acknowledged run is stored in its acknowledged state.
func (p *player) audit(ctx context.Context, t *turn) error {
	for status, ids := range map[string][]int64{"completed": p.ended, "running": p.begun} {
		found, err := t.number(ctx, t.database, `select count(*) from operation_runs where id = any($1) and status = $2
			and outcome = case status when 'completed' then 'succeeded' else 'pending' end`, ids, status)
		if err != nil {
			return err
		}
		if found != int64(len(ids)) {
			return fmt.Errorf("audit: %d runs were acknowledged as %s, %d are", len(ids), status, found)
		}
	}
	return nil
}

// ours is the service under closed-loop load.
type ours struct {
	callers  int
	perCall  int  // runs of one call
	batched  bool // through the client that collects calls
	settings []string
	once     func(p *player, ctx context.Context, c int) error
}

// Before the measured part, a turn warms up for length / warmUp.
const warmUp = 10

func (o ours) play(ctx context.Context, t *turn) (s score, err error) {
	svc, err := t.serve(ctx, o.callers, o.settings...)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	p, err := newPlayer(svc)
	if err != nil {
		return s, err
	}
	if o.batched {
		p.collect()
	}
	once := func(ctx context.Context, c int) error { return o.once(p, ctx, c) }
	if _, err := closed(ctx, o.callers, t.opts.length/warmUp, o.perCall, once); err != nil {
		return s, err
	}
	s, err = t.timed(ctx, svc.pid(), func() (tally, error) {
		return t.profiled(ctx, svc, func(ctx context.Context) (tally, error) {
			return closed(ctx, o.callers, t.opts.length, o.perCall, once)
		})
	})
	if err != nil {
		return s, err
	}
	return s, p.audit(ctx, t)
}

// profiled runs f, and records a profile of the service meanwhile if -profile is given.
func (t *turn) profiled(ctx context.Context, svc *service, f func(context.Context) (tally, error)) (done tally, err error) {
	if t.opts.profile == "" {
		return f(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return measure.Profile(ctx, svc.admin, t.opts.length-time.Second, filepath.Join(t.opts.profile, fileName(t.name)+".pprof"))
	})
	group.Go(func() (err error) { done, err = f(ctx); return err })
	return done, group.Wait()
}

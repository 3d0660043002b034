package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// burstGap is the time between the two reports of a burst. It is too short for both to be sent
// at once.
const burstGap = 100 * time.Millisecond

// run is what the worker did to one run, and when. State 0 is started, state n is the n-th
// report, and the last state is ended.
type run struct {
	id           int64
	asked, acked []time.Time // by state: when the call began, and when it returned
}

// load starts runs at a rate, and takes each through its life.
type load struct {
	world  *world
	client operationsv1.RunServiceClient
	name   string         // the name of the round, which makes identities unique
	begun  func(id int64) // is called with every run
	runs   []*run         // each is written by its own goroutine
}

func (o options) states() int { return 2*o.bursts + 2 }

// work returns when every run has ended.
func (l *load) work(ctx context.Context, length time.Duration) error {
	o := l.world.opts
	l.runs = make([]*run, int(o.rate*length.Seconds()))
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for n := range l.runs {
		if err := until(ctx, begin.Add(time.Duration(float64(n)/o.rate*float64(time.Second)))); err != nil {
			break // the group has the error
		}
		r := &run{}
		l.runs[n] = r
		group.Go(func() error { return l.live(ctx, r, fmt.Sprintf("%s/%d", l.name, n)) })
	}
	return group.Wait()
}

// until waits until a time.
func until(ctx context.Context, due time.Time) error {
	select {
	case <-time.After(time.Until(due)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// live takes one run through its life.
func (l *load) live(ctx context.Context, r *run, identity string) error {
	o, begin := l.world.opts, time.Now()
	epoch, err := l.start(ctx, r, identity)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	l.begun(r.id)
	gap := o.life / time.Duration(o.bursts+1)
	for n := range o.bursts {
		at := begin.Add(time.Duration(n+1) * gap)
		for i := range 2 {
			if err := until(ctx, at.Add(time.Duration(i)*burstGap)); err != nil {
				return err
			}
			if err := l.report(ctx, r, epoch, int64(2*n+i+1)); err != nil {
				return fmt.Errorf("report: %w", err)
			}
		}
	}
	if err := until(ctx, begin.Add(o.life)); err != nil {
		return err
	}
	if err := l.end(ctx, r, epoch); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

// said records an acknowledged call.
func (r *run) said(asked time.Time) {
	r.asked, r.acked = append(r.asked, asked), append(r.acked, time.Now())
}

func (l *load) start(ctx context.Context, r *run, identity string) (epoch int64, err error) {
	workspace, err := strconv.ParseInt(l.world.workspace, 10, 64)
	if err != nil {
		return 0, err
	}
	asked := time.Now()
	answer, err := l.client.StartRun(ctx, &operationsv1.StartRunRequest{
		WorkspaceId: workspace, Type: runType, Holder: "bench", IdentityInputs: identity,
	})
	if err != nil {
		return 0, err
	}
	r.said(asked)
	r.id = answer.GetRun().GetId()
	return answer.GetRun().GetLeaseEpoch(), nil
}

func (l *load) report(ctx context.Context, r *run, epoch, done int64) error {
	asked := time.Now()
	_, err := l.client.ReportProgress(ctx, &operationsv1.ReportProgressRequest{RunId: r.id, LeaseEpoch: epoch, SummaryCounts: l.counts(done)})
	if err == nil {
		r.said(asked)
	}
	return err
}

func (l *load) end(ctx context.Context, r *run, epoch int64) error {
	asked := time.Now()
	_, err := l.client.CompleteRun(ctx, &operationsv1.CompleteRunRequest{
		RunId: r.id, LeaseEpoch: epoch, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED,
		SummaryCounts: l.counts(int64(2 * l.world.opts.bursts)),
	})
	if err == nil {
		r.said(asked)
	}
	return err
}

func (l *load) counts(done int64) map[string]int64 {
	return map[string]int64{"total": int64(2 * l.world.opts.bursts), "processed": done}
}

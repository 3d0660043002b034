package work

import (
	"context"
	"maps"
	"slices"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// sweep sees to it until ctx ends that every queued run of our types has a slip.
// What it could not ask or write it tries again soon, and says so once.
func (w *Worker) sweep(ctx context.Context) {
	failing := false
	for wait := time.Duration(0); pause.For(ctx, wait) == nil; {
		err := w.sweepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !failing:
			w.cfg.Log.WarnContext(ctx, "sweep for runs without a slip fails", "err", err)
		case err == nil && failing:
			w.cfg.Log.InfoContext(ctx, "sweep for runs without a slip works again")
		}
		failing = err != nil
		wait = w.cfg.Sweep
		if failing {
			wait = min(wait, time.Second)
		}
	}
}

func (w *Worker) sweepOnce(ctx context.Context) error {
	req := &operationsv1.ListDispatchableRunsRequest{Types: w.types}
	for {
		var resp *operationsv1.ListDispatchableRunsResponse
		err := try(ctx, func(ctx context.Context) (err error) {
			resp, err = w.cfg.Runs.ListDispatchableRuns(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		if err := w.insert(ctx, slipsOf(resp.GetRuns())); err != nil {
			return err
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			return nil
		}
	}
}

func slipsOf(runs []*operationsv1.DispatchableRun) []slip {
	out := make([]slip, 0, len(runs))
	for _, r := range runs {
		out = append(out, slip{RunID: r.GetRunId(), Epoch: r.GetLeaseEpoch()})
	}
	return out
}

func types(jobs map[string]Job) []string { return slices.Sorted(maps.Keys(jobs)) }

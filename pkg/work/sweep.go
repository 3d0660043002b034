package work

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// sweep writes a slip for every queued run of our types that has none, again and again
// until ctx ends. A sweep that fails is repeated soon. Only the first failure in a row is
// logged.
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
			resp, err = w.runs.ListDispatchableRuns(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		missing, err := w.missing(ctx, slipsOf(resp.GetRuns()))
		if err != nil {
			return err
		}
		if err := w.insert(ctx, missing); err != nil {
			return err
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			return nil
		}
	}
}

const findMissing = `-- work.findMissing
	select w.place from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) with ordinality as w (run_id, epoch, workspace_id, tenant_id, place)
	where not exists (select from river.river_job where ` + waitingSlip + `
		and ` + slipWorkspace + ` = w.workspace_id and ` + slipTenant + ` = w.tenant_id and ` + slipRun + ` = w.run_id
		and (args ->> 'epoch')::bigint = w.epoch)`

// missing returns those of the slips that do not wait already. Nearly all do: River
// would write to each of them, and a fetch passes over a row that is being written.
func (w *Worker) missing(ctx context.Context, slips []slip) ([]slip, error) {
	n := len(slips)
	runs, epochs, workspaces, tenants := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, s := range slips {
		runs[i], epochs[i], workspaces[i], tenants[i] = s.RunID, s.Epoch, s.WorkspaceID, s.TenantID
	}
	rows, err := w.cfg.Pool.Query(ctx, findMissing, w.cfg.Service, runs, epochs, workspaces, tenants)
	if err != nil {
		return nil, fmt.Errorf("find missing slips: %w", err)
	}
	var out []slip
	var place int
	_, err = pgx.ForEachRow(rows, []any{&place}, func() error {
		out = append(out, slips[place-1])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find missing slips: %w", err)
	}
	return out, nil
}

func slipsOf(runs []*operationsv1.DispatchableRun) []slip {
	out := make([]slip, 0, len(runs))
	for _, r := range runs {
		out = append(out, slip{RunID: r.GetRunId(), Epoch: r.GetLeaseEpoch(), WorkspaceID: r.GetWorkspaceId(), TenantID: r.GetTenantId()})
	}
	return out
}

func types(jobs map[string]Job) []string { return slices.Sorted(maps.Keys(jobs)) }

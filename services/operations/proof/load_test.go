package proof

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/work/collect"
)

// load is callers that start and complete runs, and the results they got.
type load struct {
	runs operationsv1.RunServiceClient
	name string
	acks atomic.Int64

	mu      sync.Mutex
	started map[int64]bool
	ended   map[int64]operationsv1.RunOutcome // of acknowledged completions
	told    map[string]int                    // refusals and faults, by code and reason
}

func newLoad(name string, conn *grpc.ClientConn) *load {
	return &load{
		runs: collect.New(conn), name: name, // batches are killed halfway, too
		started: map[int64]bool{}, ended: map[int64]operationsv1.RunOutcome{}, told: map[string]int{},
	}
}

// run lets callers work until ctx ends; they complete the runs that they have started.
func (l *load) run(ctx context.Context, callers int) error {
	var group errgroup.Group
	for caller := range callers {
		group.Go(func() error {
			for n := 0; ctx.Err() == nil; n++ {
				if err := l.one(context.WithoutCancel(ctx), name(l.name, " ", caller, " ", n), n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// one starts and completes a run, and repeats each call until it has a result.
func (l *load) one(ctx context.Context, what string, n int) error {
	var r *operationsv1.Run
	err := l.persist(ctx, func(ctx context.Context) error {
		resp, err := l.runs.StartRun(ctx, syncOf(what, what, what))
		r = resp.GetRun()
		return err
	})
	if err != nil {
		return err
	}
	l.note(func() { l.started[r.Id] = true })
	outcome := []operationsv1.RunOutcome{succeeded, failed}[n%2]
	err = l.persist(ctx, func(ctx context.Context) error {
		_, err := l.runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{
			RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: outcome, SummaryCounts: map[string]int64{"processed": int64(n)},
		})
		return err
	})
	if err != nil {
		return err
	}
	l.note(func() { l.ended[r.Id] = outcome })
	l.acks.Add(1)
	return nil
}

// persist repeats a call while the service cannot be reached.
func (l *load) persist(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := call(ctx)
		if err == nil {
			return nil
		}
		l.note(func() { l.told[name(errs.Code(err), " ", errs.Reason(err))]++ })
		if errs.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return err
		}
		retry := time.NewTimer(20 * time.Millisecond)
		select {
		case <-retry.C:
		case <-ctx.Done():
		}
	}
}

func (l *load) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// goesOn waits until n more runs of l have ended.
func (l *load) goesOn(t *testing.T, n int64) {
	t.Helper()
	from := l.acks.Load()
	require.Eventually(t, func() bool { return l.acks.Load() >= from+n }, time.Minute, 5*time.Millisecond, "%s stands still", l.name)
}

// requireKept requires that everything that was acknowledged to l is stored.
func (l *load) requireKept(t *testing.T, s *site) {
	t.Helper()
	type row struct {
		ID      int64
		Outcome string
	}
	rows, err := s.db.Pool.Query(t.Context(), "select id, outcome from operation_runs")
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	require.NoError(t, err)
	stored := map[int64]string{}
	for _, r := range all {
		stored[r.ID] = r.Outcome
	}
	require.NotEmpty(t, l.started)
	for id := range l.started {
		require.Contains(t, stored, id, "the start of run %d was acknowledged, and is lost", id)
	}
	words := map[operationsv1.RunOutcome]string{succeeded: "succeeded", failed: "failed"}
	for id, outcome := range l.ended {
		require.Equal(t, words[outcome], stored[id], "the completion of run %d was acknowledged", id)
	}
}

package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// Callers of two replicas fight over the same few identities and runs. Leases are so short
// that both reapers move runs, too. The invariants hold at all times.
func TestTwoReplicasUnderOneLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), `{"inventory_sync": {"lease": "150ms", "queue_deadline": "1s", "cancel_deadline": "300ms"}}`)
	var replicas []*caller
	for range 2 {
		address := rpctest.FreeAddress(t)
		s.serve(t, address, s.db.URL)
		replicas = append(replicas, s.caller(t, address))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b := &brawl{begun: map[string]string{}, ended: map[int64]operationsv1.RunOutcome{}, told: map[string]int{}}
	group, ctx := errgroup.WithContext(ctx)
	for i := range 12 {
		group.Go(func() error { return b.fight(ctx, replicas, rand.New(rand.NewPCG(uint64(i), 1))) }) //nolint:gosec // a test's dice
	}
	group.Go(func() error { return s.watchIdentities(ctx) })
	for _, replica := range replicas {
		group.Go(func() error { return b.walk(ctx, replica) })
	}
	least := time.NewTimer(time.Duration(scale(3, 60)) * time.Second)
	defer least.Stop()
	<-least.C
	fought := assert.Eventually(t, func() bool { return b.missing() == "" || ctx.Err() != nil }, time.Minute, 20*time.Millisecond)
	stop()
	require.NoError(t, group.Wait())
	require.True(t, fought, "%s: they did not fight", b.missing())

	require.Eventually(t, func() bool {
		return len(ids(t, s.db.Pool, "select id from operation_runs where status <> 'completed' limit 1")) == 0
	}, 30*time.Second, 20*time.Millisecond, "nobody works on them any more, and they do not end")
	t.Logf("%d leases, %d completions, %d walks, told: %v", len(b.begun), len(b.ended), b.walks, b.told)
	for id, outcome := range b.ended {
		require.Equal(t, outcome, replicas[0].get(t, id).Outcome, "the completion of run %d was acknowledged", id)
	}
	audit(t, s.db.Pool)
}

// watchIdentities looks for an identity with two active runs, again and again. Each look is
// one snapshot, so it shows what was true at one instant.
func (s *site) watchIdentities(ctx context.Context) error {
	for ctx.Err() == nil {
		var twins int
		sql := "select count(*) from (" + invariants["an identity has one active run"] + ") x"
		if err := s.db.Pool.QueryRow(ctx, sql).Scan(&twins); err != nil && ctx.Err() == nil {
			return err
		}
		if twins > 0 {
			return fmt.Errorf("%d identities have two active runs", twins)
		}
	}
	return nil
}

// brawl is callers that disturb each other, and the results they got.
type brawl struct {
	mu    sync.Mutex
	known []*operationsv1.Run
	begun map[string]string // the holder of each run and epoch
	ended map[int64]operationsv1.RunOutcome
	told  map[string]int
	walks int
}

// missing returns what has not happened yet in the brawl, or "".
func (b *brawl) missing() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case len(b.ended) == 0:
		return "no run was completed"
	case b.walks == 0:
		return "nobody has seen the whole list"
	}
	for _, reason := range []string{"LEASE_HELD", "LEASE_LOST", "RUN_COMPLETED", "RUN_ALREADY_ACTIVE"} {
		if b.told[reason] == 0 {
			return "no call was refused with " + reason
		}
	}
	return ""
}

func (b *brawl) fight(ctx context.Context, replicas []*caller, dice *rand.Rand) error {
	for n := 0; ctx.Err() == nil; n++ {
		w := replicas[dice.IntN(len(replicas))]
		holder := name("w", dice.Uint64())
		if err := b.hit(context.WithoutCancel(ctx), w.runs, dice, holder); err != nil {
			code := errs.Code(err)
			if code != codes.Aborted && code != codes.FailedPrecondition && code != codes.Unavailable {
				return err
			}
			b.note(func() { b.told[errs.Reason(err)]++ })
		}
	}
	return nil
}

// hit makes one call.
func (b *brawl) hit(ctx context.Context, runs operationsv1.RunServiceClient, dice *rand.Rand, holder string) error {
	r := b.pick(dice)
	if r == nil || dice.IntN(4) == 0 {
		return b.start(ctx, runs, dice, holder)
	}
	switch dice.IntN(6) {
	case 0, 1:
		resp, err := runs.BeginRun(ctx, &operationsv1.BeginRunRequest{RunId: r.Id, Holder: holder})
		if err != nil {
			return err
		}
		return b.leased(resp.Run, holder)
	case 2:
		_, err := runs.ReportProgress(ctx, &operationsv1.ReportProgressRequest{RunId: r.Id, LeaseEpoch: r.LeaseEpoch})
		return err
	case 3:
		_, err := runs.ReleaseRun(ctx, &operationsv1.ReleaseRunRequest{RunId: r.Id, LeaseEpoch: r.LeaseEpoch})
		return err
	case 4:
		if dice.IntN(4) > 0 {
			return nil
		}
		_, err := runs.CancelRun(ctx, &operationsv1.CancelRunRequest{RunId: r.Id})
		return err
	}
	outcome := []operationsv1.RunOutcome{succeeded, failed}[dice.IntN(2)]
	_, err := runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: outcome})
	if err == nil {
		b.note(func() { b.ended[r.Id] = outcome })
	}
	return err
}

func (b *brawl) start(ctx context.Context, runs operationsv1.RunServiceClient, dice *rand.Rand, holder string) error {
	req := syncOf(name("identity ", dice.IntN(8)), []string{"", holder}[dice.IntN(2)], []string{"", holder}[dice.IntN(2)])
	req.ConflictPolicy = operationsv1.ConflictPolicy(dice.IntN(4)) //nolint:gosec // there are four
	resp, err := runs.StartRun(ctx, req)
	if err != nil {
		return err
	}
	b.note(func() { b.known = append(b.known, resp.Run) })
	if resp.Started && req.Holder != "" {
		return b.leased(resp.Run, holder)
	}
	return nil
}

// leased notes that holder was given the lease of r.
func (b *brawl) leased(r *operationsv1.Run, holder string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	lease := name(r.Id, " epoch ", r.LeaseEpoch)
	if other, held := b.begun[lease]; held && other != holder {
		return fmt.Errorf("run %s was leased to %s and to %s", lease, other, holder)
	}
	b.begun[lease] = holder
	b.known = append(b.known, r)
	return nil
}

// pick returns one of the runs that were seen lately, as it was then.
func (b *brawl) pick(dice *rand.Rand) *operationsv1.Run {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) == 0 {
		return nil
	}
	b.known = b.known[max(0, len(b.known)-30):]
	return b.known[dice.IntN(len(b.known))]
}

func (b *brawl) note(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// walk lists all runs page by page while others write. No run appears twice, and none is
// missing that was known before.
func (b *brawl) walk(ctx context.Context, w *caller) error {
	before := map[int64]bool{}
	for ctx.Err() == nil {
		seen := map[int64]bool{}
		req := &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 7}
		for page := true; page; page = req.PageToken != "" {
			resp, err := w.reader.ListRuns(context.WithoutCancel(ctx), req)
			if err != nil {
				return err
			}
			for _, r := range resp.Runs {
				if seen[r.Id] {
					return fmt.Errorf("run %d is listed twice", r.Id)
				}
				seen[r.Id] = true
			}
			req.PageToken = resp.NextPageToken
		}
		for id := range before {
			if !seen[id] {
				return fmt.Errorf("run %d was listed before, and is missing", id)
			}
		}
		before = seen
		b.note(func() { b.walks++ })
	}
	return nil
}

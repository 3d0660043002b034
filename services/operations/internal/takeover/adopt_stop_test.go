package takeover

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/takeover/fixture"
)

// stopper ends a context when a number of statements and batches have begun.
type stopper struct {
	left atomic.Int64
	stop atomic.Pointer[context.CancelFunc]
}

func (s *stopper) count() {
	if s.left.Add(-1) == 0 {
		(*s.stop.Load())()
	}
}

func (s *stopper) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.count()
	return ctx
}
func (s *stopper) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *stopper) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	s.count()
	return ctx
}
func (s *stopper) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (s *stopper) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// stopped makes the tool's statements count for s.
func (w *stages) stopped(s *stopper) {
	w.t.Helper()
	for _, db := range []**pgxpool.Pool{&w.tool.legacy, &w.tool.target} {
		cfg := (*db).Config()
		(*db).Close()
		cfg.ConnConfig.Tracer = s
		var err error
		*db, err = pgxpool.NewWithConfig(w.t.Context(), cfg)
		require.NoError(w.t, err)
	}
}

// Stopped at its first statement, then at its second, and so on, adopt ends where it
// ends when nobody disturbs it.
func TestAdoptEndsTheSameWhereverItIsStopped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	undisturbed := newStages(t, fixture.Options{Now: now, LooseTenants: true})
	o := AdoptOptions{Owners: owners, WorkspaceMap: map[int64]string{20: "1", 21: "2"}}
	undisturbed.adopt(o)

	w := newStages(t, fixture.Options{Now: now, LooseTenants: true})
	s := &stopper{}
	w.stopped(s)
	stops := int64(0)
	for ended := false; !ended; {
		ctx, stop := context.WithCancel(t.Context())
		s.stop.Store(&stop)
		stops++
		s.left.Store(stops)
		_, err := w.tool.Adopt(ctx, o)
		ended = ctx.Err() == nil
		require.Equal(t, ended, err == nil, "stopped at statement %d: %v", stops, err)
		stop()
	}
	require.Greater(t, stops, int64(30), "adopt says more than that")
	require.Equal(t, undisturbed.adopted(), w.adopted())
	once := w.state()
	w.adopt(AdoptOptions{})
	require.Equal(t, once, w.state())
}

// adopted is what adopt has made, but for times and what is left to chance: a
// sequence that was advanced stays so, also where the transaction fails.
func (w *stages) adopted() string {
	w.t.Helper()
	const runs = `select string_agg(concat_ws(' ', id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context), e'\n' order by id) from operation_runs`
	const rest = `select concat_ws(e'\n',
		(select string_agg(concat_ws(' ', source, last_legacy_id, case source when 'operation_runs' then base end), ', ' order by source) from takeover_block), (select string_agg(h::text, ' ' order by workspace_id) from workspace_hold h),
		(select sum(runs) from run_stat), (select count(*) from run_event), (select string_agg(concat(run_id, key, value), ' ' order by run_id, key, value) from run_label))`
	return one[string](w.t, w.tool.target, runs) + one[string](w.t, w.tool.target, rest) + fmt.Sprint(w.registry.known)
}

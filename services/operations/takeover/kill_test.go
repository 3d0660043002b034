package takeover

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

// killer ends a process, as far as its databases can tell, before its n-th statement
// or batch of statements.
type killer struct {
	mu   sync.Mutex
	left int
	kill context.CancelFunc
}

func (k *killer) count() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left--; k.left < 0 {
		k.kill()
	}
}

func (k *killer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	k.count()
	return ctx
}
func (k *killer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (k *killer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	k.count()
	return ctx
}
func (k *killer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (k *killer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// killed runs a stage until its n-th statement, and reports whether it came to its end.
func (s *stages) killed(n int, run func(context.Context) error) bool {
	s.t.Helper()
	ctx, kill := context.WithCancel(s.t.Context())
	defer kill()
	k := &killer{left: n, kill: kill}
	whole := *s.tool
	s.tool.legacy, s.tool.target = s.traced(whole.legacy, k), s.traced(whole.target, k)
	defer func() {
		s.tool.legacy.Close()
		s.tool.target.Close()
		*s.tool = whole
	}()
	err := run(ctx)
	require.Equal(s.t, ctx.Err() == nil, err == nil, "killed before statement %d: %v", n+1, err)
	return ctx.Err() == nil
}

func (s *stages) traced(db *pgxpool.Pool, k *killer) *pgxpool.Pool {
	s.t.Helper()
	cfg := db.Config()
	cfg.ConnConfig.Tracer = k
	traced, err := pgxpool.NewWithConfig(s.t.Context(), cfg)
	require.NoError(s.t, err)
	return traced
}

// killedOver runs a stage that is killed before one of its first statements, then one
// that is killed step statements later, and so on until one reaches the end.
// TENANTPILOT_PROOF=1 takes the step as it is; else it is eight times as long, and
// each run of the test begins somewhere else.
func (s *stages) killedOver(stage string, step int, run func(context.Context) error) {
	s.t.Helper()
	n := 0
	if os.Getenv("TENANTPILOT_PROOF") == "" {
		step *= 8
		n = rand.IntN(step) //nolint:gosec // a test's dice
		s.t.Logf("%s is killed before statement %d and every %d later", stage, n+1, step)
	}
	for !s.killed(n, run) {
		n += step
	}
	require.Greater(s.t, n, 10, stage)
}

// killedAnywhere is killedOver for a stage by its name.
func (s *stages) killedAnywhere(stage string, step int) {
	s.t.Helper()
	s.killedOver(stage, step, func(ctx context.Context) error {
		_, err := s.try(ctx, stage)
		return err
	})
}

func TestWhatIsKilledAnywhereEndsAsIfItWereNot(t *testing.T) {
	t.Parallel()
	o := fixture.Options{Memberships: true, Now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
	calm, s := newStages(t, o), newStages(t, o)
	atFirst, runsAtFirst := s.legacyPortrait(), s.targetPortrait()
	for _, each := range []*stages{calm, s} {
		each.exec("update tenantpilot_takeover.takeover set created_at = $1", o.Now) // which rows without any time take
		each.do("adopt")
	}
	for _, stage := range []string{"backfill", "verify", "repoint", "verify again", "drop", "rollback to repoint", "rollback to verify"} {
		calm.do(stage)
		step := 1
		if strings.HasPrefix(stage, "verify") {
			step = 9 // it takes long, and changes little
		}
		s.killedAnywhere(stage, step)
		sameLines(t, calm.legacyPortrait(), s.legacyPortrait())
		sameLines(t, calm.targetPortrait(), s.targetPortrait())
		sameLines(t, stateOf(calm), stateOf(s))
	}
	for _, stage := range []string{"verify", "repoint", "verify again", "drop"} {
		s.do(stage)
	}
	s.killedAnywhere("rollback to adopt", 3)
	s.do("rollback to analyse")
	sameLines(t, atFirst, s.legacyPortrait())
	sameLines(t, runsAtFirst, s.targetPortrait())
}

// stateOf is what the takeover knows of itself, but for when.
func stateOf(s *stages) string {
	return withoutSequences(dump(s.t, s.legacyURL, "--data-only", "--schema=tenantpilot_takeover",
		"--exclude-table-data=*.takeover", "--exclude-table-data=*.stage",
		"--exclude-table-data=*.dropped", "--exclude-table-data=*.write_seen"))
}

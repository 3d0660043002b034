package takeovertest

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// killer cancels a context before the n-th statement or batch of statements. The databases
// see the same as when a process is killed.
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

func (k *killer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// killed runs a stage, kills it before its statement n+1, and reports whether the stage
// ended before that.
func (s *Takeover) killed(n int, run func(context.Context) error) bool {
	s.t.Helper()
	ctx, kill := context.WithCancel(s.t.Context())
	defer kill()
	k := &killer{left: n, kill: kill}
	whole := *s.Ledger
	s.Legacy, s.Operations = s.traced(whole.Legacy, k), s.traced(whole.Operations, k)
	defer func() {
		s.Legacy.Close()
		s.Operations.Close()
		*s.Ledger = whole
	}()
	err := run(ctx)
	require.Equal(s.t, ctx.Err() == nil, err == nil, "killed before statement %d: %v", n+1, err)
	return ctx.Err() == nil
}

func (s *Takeover) traced(db *pgxpool.Pool, k *killer) *pgxpool.Pool {
	s.t.Helper()
	cfg := db.Config()
	cfg.ConnConfig.Tracer = k
	traced, err := pgxpool.NewWithConfig(s.t.Context(), cfg)
	require.NoError(s.t, err)
	return traced
}

// KilledOver runs a stage again and again, and kills each run step statements later than
// the one before, until a run ends by itself. With TENANTPILOT_PROOF=1, step is as given;
// else it is eight times as long, and each test run begins at another statement.
func (s *Takeover) KilledOver(stage string, step int, run func(context.Context) error) {
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

// KilledAnywhere is [Takeover.KilledOver] for a stage that [Takeover.Try] knows by name.
func (s *Takeover) KilledAnywhere(stage string, step int) {
	s.t.Helper()
	s.KilledOver(stage, step, func(ctx context.Context) error {
		_, err := s.Try(ctx, stage)
		return err
	})
}

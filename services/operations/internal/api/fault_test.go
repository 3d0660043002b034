package api_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// The model holds over a line that loses requests, or only their answers, at
// any request of any call: the caller is told UNAVAILABLE and nothing else,
// repeats the same call, and is then told what it would have been told.
func TestServiceAgreesWithTheModelOverABadLine(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	wire := pgtest.NewWire(t, db.URL)
	pool, err := pg.Open(t.Context(), wire.URL(db.URL), 4)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := setupOn(t, db, pool, grpc.WithDisableRetry(), grpc.WithChainUnaryInterceptor(untilAvailable))
	workspace := int64(1000)
	rapid.Check(t, func(r *rapid.T) {
		workspace++
		m := newModel(t, r, w, workspace)
		m.wire = wire
		moves := m.moves()
		for name, move := range moves {
			if name != "" {
				moves[name] = m.faulty(move)
			}
		}
		r.Repeat(moves)
		m.endAll()
	})
	require.Greater(t, wire.Struck(), 20, "the line was too good to prove anything")
	t.Logf("%d faults", wire.Struck())
}

// faulty is move while the line may fail, once or twice.
func (m *model) faulty(move func(*rapid.T)) func(*rapid.T) {
	return func(r *rapid.T) {
		defer m.wire.Disarm()
		for range rapid.IntRange(0, 2).Draw(r, "faults") {
			m.wire.Arm(pgtest.Fault{
				Skip:  rapid.IntRange(0, 8).Draw(r, "after requests"),
				Sent:  rapid.Bool().Draw(r, "sent"),
				Quiet: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 5}).Draw(r, "quiet ms")) * time.Millisecond,
			})
		}
		move(r)
	}
}

// untilAvailable repeats a call as a patient client would, and holds the
// service to saying UNAVAILABLE when a part of it is missing.
func untilAvailable(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for range 20 {
		err := invoke(ctx, method, req, reply, conn, opts...)
		if errs.Code(errs.FromStatus(err)) != codes.Unavailable {
			return err
		}
	}
	return errors.New("unavailable for too long")
}

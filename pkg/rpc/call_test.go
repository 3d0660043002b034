package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// failing is a service whose Ping fails with whatever fail does.
func failing(t *testing.T, fail func(ctx context.Context) error) *rpctest.Service {
	t.Helper()
	return rpctest.Serve(t, "notes", register(noteService, handlers{
		"Ping": func(ctx context.Context, _ *dynamicpb.Message) error { return fail(ctx) },
	}))
}

func TestAFaultOfOursIsToldNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]func(context.Context) error{
		"a plain error":                  func(context.Context) error { return errors.New("secret: relation \"x\" does not exist") },
		"a panic":                        func(context.Context) error { panic("secret") },
		"a status":                       func(context.Context) error { return status.Error(codes.Internal, "secret") },
		"another service's fault":        func(context.Context) error { return fmt.Errorf("ask: %w", errs.Internal(errors.New("secret"))) },
		"another service mistrusting us": func(context.Context) error { return errs.FromStatus(status.Error(codes.Unauthenticated, "secret")) },
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := failing(t, fail)
			conn := s.Dial(t, "operator")
			for range 2 { // the process lives
				err := call(t.Context(), conn, "Ping", note(nil))
				e, ok := errs.As(err)
				require.True(t, ok)
				require.Equal(t, codes.Internal, e.Code())
				require.NotContains(t, err.Error(), "secret")
				require.Equal(t, "INTERNAL", e.Reason())
			}
			require.Contains(t, s.Logs(), "level=ERROR")
			require.Contains(t, s.Logs(), "secret", "the log must have the cause")
		})
	}
}

func TestAnErrorSurvivesTheCall(t *testing.T) {
	t.Parallel()
	want := errs.Conflict("RUN_COMPLETED", "run %d ended", 3).With("run_id", "3").RetryIn(time.Second)
	s := failing(t, func(context.Context) error { return fmt.Errorf("complete: %w", want.Wrap(errors.New("secret"))) })
	got, ok := errs.As(call(t.Context(), s.Dial(t, "operator"), "Ping", note(nil)))
	require.True(t, ok)
	require.Equal(t, want.GRPCStatus().Proto().String(), got.GRPCStatus().Proto().String())
	require.Contains(t, s.Logs(), "reason=RUN_COMPLETED")
	require.NotContains(t, s.Logs(), "level=ERROR", "a caller's mistake is not our error")
}

func TestSomeOfTheDeadlineIsKeptBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // no time passes on the way
		left := make(chan time.Duration, 1)
		s := failing(t, func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nil
		})
		conn := s.Dial(t, "operator")
		require.NoError(t, call(t.Context(), conn, "Ping", note(nil)))
		require.Equal(t, 9980*time.Millisecond, <-left, "a call without a deadline gets one")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		require.NoError(t, call(ctx, conn, "Ping", note(nil)))
		require.Equal(t, 1980*time.Millisecond, <-left)
	})
}

func TestACallWithNoTimeLeftIsNotStarted(t *testing.T) {
	t.Parallel()
	var started atomic.Int32
	s := failing(t, func(context.Context) error { started.Add(1); return nil })
	conn := s.Dial(t, "operator")
	require.NoError(t, call(t.Context(), conn, "Ping", note(nil)), "connected")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	err := call(ctx, conn, "Ping", note(nil))
	require.Equal(t, codes.DeadlineExceeded, errs.Code(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, int32(1), started.Load())
}

func TestTheSlowServiceNamesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // no time passes on the way
		s := failing(t, func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("query: %w", ctx.Err()) })
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		e, ok := errs.As(call(ctx, s.Dial(t, "operator"), "Ping", note(nil)))
		require.True(t, ok)
		require.Equal(t, codes.DeadlineExceeded, e.Code())
		require.Contains(t, e.Message(), "not enough time")
		require.NoError(t, ctx.Err(), "the answer came before the caller gave up")
	})
}

func TestACallerWhoGoesAwayIsNoFault(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	s := failing(t, func(ctx context.Context) error { close(entered); <-ctx.Done(); return ctx.Err() })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	require.ErrorIs(t, call(ctx, s.Dial(t, "operator"), "Ping", note(nil)), context.Canceled)
	require.Eventually(t, func() bool { return strings.Contains(s.Logs(), "code=Canceled") }, 30*time.Second, 10*time.Millisecond)
	require.NotContains(t, s.Logs(), "level=ERROR")
}

func TestOnlyWhatMayBeSaidTwiceIsRetried(t *testing.T) {
	t.Parallel()
	down := errs.Unavailable("DB_DOWN", "later")
	tests := map[string]struct {
		method  string
		id      string // of the request
		failure error
		want    codes.Code
	}{
		"a read":                           {"GetNote", "", down, codes.OK},
		"a write with a request id":        {"CreateNote", "r1", down, codes.OK},
		"a write with an empty one":        {"CreateNote", "", down, codes.Unavailable},
		"a write that has none":            {"WriteNote", "", down, codes.Unavailable},
		"a read that lost a race":          {"GetNote", "", errs.Aborted("RACE", "again"), codes.Aborted},
		"a read that is refused for now":   {"GetNote", "", errs.Exhausted("RATE", time.Second, "slower"), codes.ResourceExhausted},
		"a write that the handler refused": {"CreateNote", "r1", errs.Conflict("C", "no"), codes.FailedPrecondition},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := notes(t)
			s.FailCall(1, tt.method, tt.failure)
			s.FailCall(2, tt.method, tt.failure)
			input, fields := "Note", map[string]any{"workspace_id": int64(1), "id": int64(10)}
			if tt.method == "CreateNote" {
				input, fields = "CreateNoteRequest", map[string]any{"workspace_id": int64(1), "request_id": tt.id}
			}
			err := call(t.Context(), s.DialActor(t, "gateway", member(actor.Owner)), tt.method, newMessage(input, fields))
			require.Equal(t, tt.want, errs.Code(err), "%v", err)
		})
	}
}

func TestALostReplyIsAskedForAgain(t *testing.T) {
	t.Parallel()
	var done atomic.Int32
	s := rpctest.Serve(t, "notes", register(noteService, handlers{
		"CreateNote": func(context.Context, *dynamicpb.Message) error { done.Add(1); return nil },
	}))
	s.LoseReply(1, "CreateNote")
	require.NoError(t, call(t.Context(), s.Dial(t, "inventory"), "CreateNote", newMessage("CreateNoteRequest", map[string]any{"workspace_id": int64(1), "request_id": "r1"})))
	require.Equal(t, int32(2), done.Load(), "the handler must be ready to be told twice")
}

func TestATraceCrossesTheCall(t *testing.T) {
	t.Parallel()
	got := make(chan trace.SpanContext, 1)
	s := failing(t, func(ctx context.Context) error { got <- trace.SpanContextFromContext(ctx); return nil })
	ctx, span := otel.Tracer("test").Start(t.Context(), "caller")
	defer span.End()
	require.NoError(t, call(ctx, s.Dial(t, "operator"), "Ping", note(nil)))
	served := <-got
	require.Equal(t, span.SpanContext().TraceID(), served.TraceID())
	require.NotEqual(t, span.SpanContext().SpanID(), served.SpanID())
}

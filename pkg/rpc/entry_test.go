package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// posted is an entry of a batch as a client sends it: whose headers it has, and
// the workspace it writes to.
type posted struct {
	headers   rpc.Headers
	workspace int64
}

// postbox serves WriteNote, and BatchWriteNotes for entries, which reach its
// handler beside the wire. It keeps the contexts of the entries.
type postbox struct {
	entries  []posted
	answers  []*statusv1.Status
	contexts []context.Context
}

func (p *postbox) serve(t *testing.T) *rpctest.Service {
	t.Helper()
	return rpctest.Serve(t, "notes", register(noteService, handlers{
		"WriteNote": ok,
		"BatchWriteNotes": func(ctx context.Context, _ *dynamicpb.Message) error {
			for _, one := range p.entries {
				e := rpc.BeginEntry(ctx, "WriteNote", &one.headers)
				p.contexts = append(p.contexts, e.Context())
				p.answers = append(p.answers, e.End(e.Check(note(map[string]any{"workspace_id": one.workspace}))))
			}
			return nil
		},
	}))
}

func user(id int64, workspace int64, role actor.Role) actor.Actor {
	return actor.Actor{UserID: id, Name: fmt.Sprint("user ", id), Memberships: []actor.Membership{{WorkspaceID: workspace, Role: role}}}
}

// Whoever shares a batch: each entry is held to what its own user may do, as a call
// of its own under the same token would be, and no token is logged.
func TestAnEntryIsMadeForItsOwnUser(t *testing.T) {
	t.Parallel()
	p := &postbox{}
	s := p.serve(t)
	ada, ben := s.Token(t, user(7, 1, actor.Operator)), s.Token(t, user(8, 2, actor.Readonly))
	old := s.TokenAt(t, user(9, 1, actor.Owner), time.Now().Add(-time.Hour))
	forged := ada[:strings.LastIndex(ada, ".")] + ben[strings.LastIndex(ben, "."):]
	tests := []struct {
		token     string
		workspace int64
		want      codes.Code
	}{
		{ada, 1, codes.OK}, {ada, 2, codes.NotFound}, {ben, 2, codes.PermissionDenied}, {ben, 1, codes.NotFound},
		{old, 1, codes.Unauthenticated}, {forged, 1, codes.Unauthenticated}, {"nonsense", 1, codes.Unauthenticated},
		{"", 2, codes.OK}, {"", 0, codes.InvalidArgument}, {ada, 1, codes.OK},
	}
	for _, tt := range tests {
		p.entries = append(p.entries, posted{rpc.Headers{ActorToken: tt.token}, tt.workspace})
	}
	conn := s.Dial(t, "inventory")
	require.NoError(t, call(t.Context(), conn, "BatchWriteNotes", newMessage("BatchWriteNotesRequest", nil)))
	for i, tt := range tests {
		one := call(actor.WithToken(t.Context(), actor.Actor{}, tt.token), conn, "WriteNote", note(map[string]any{"workspace_id": tt.workspace}))
		require.Equal(t, tt.want, errs.Code(one), "%d: %v", i, one)
		require.Equal(t, one, errs.FromStatus(status.FromProto(p.answers[i]).Err()), i)
	}
	require.Contains(t, s.Logs(), "entries=10 refused_entries=7 users=2")
	var traced strings.Builder
	for _, span := range spans.Ended() {
		fmt.Fprintln(&traced, span.Name(), span.Attributes(), span.Events(), span.Status())
	}
	require.Contains(t, traced.String(), "NoteService/WriteNote")
	for _, secret := range []string{ada, ben, old, forged} {
		for _, part := range strings.Split(secret, ".") {
			require.NotContains(t, s.Logs(), part)
			require.NotContains(t, traced.String(), part)
			require.NotContains(t, fmt.Sprint(p.answers), part)
		}
	}
}

// A batch that is made for a user does not make its entries the service's own.
func TestAnEntryWithoutATokenIsMadeForWhomTheBatchIsMade(t *testing.T) {
	t.Parallel()
	p := &postbox{entries: []posted{{workspace: 1}, {workspace: 2}}}
	s := p.serve(t)
	require.NoError(t, call(t.Context(), s.DialActor(t, "inventory", user(7, 1, actor.Operator)), "BatchWriteNotes", newMessage("BatchWriteNotesRequest", nil)))
	require.Nil(t, p.answers[0])
	require.Equal(t, codes.NotFound, status.FromProto(p.answers[1]).Code())
	a, _ := actor.From(p.contexts[0])
	require.EqualValues(t, 7, a.UserID)
}

func TestAnEntryIsPartOfTheTraceOfItsCaller(t *testing.T) {
	t.Parallel()
	ctx, caller := otel.Tracer("test").Start(t.Context(), "caller")
	p := &postbox{entries: []posted{{headers: rpc.HeadersOf(ctx), workspace: 1}, {workspace: 1}, {headers: rpc.Headers{Traceparent: "nonsense"}}}}
	s := p.serve(t)
	batchCtx, batch := otel.Tracer("test").Start(t.Context(), "batch")
	require.NoError(t, call(batchCtx, s.Dial(t, "inventory"), "BatchWriteNotes", newMessage("BatchWriteNotesRequest", nil)))
	caller.End()
	batch.End()
	in := trace.SpanContextFromContext(p.contexts[0])
	require.Equal(t, caller.SpanContext().TraceID(), in.TraceID())
	var found sdktrace.ReadOnlySpan
	for _, span := range spans.Ended() {
		if span.SpanContext().SpanID() == in.SpanID() {
			found = span
		}
	}
	require.NotNil(t, found, "the entry's span has ended")
	require.Equal(t, noteService+"/WriteNote", found.Name())
	require.Equal(t, caller.SpanContext().SpanID(), found.Parent().SpanID())
	require.Equal(t, batch.SpanContext().TraceID(), found.Links()[0].SpanContext.TraceID())
	for i := range 2 {
		alone := trace.SpanContextFromContext(p.contexts[i+1])
		require.True(t, alone.IsValid())
		require.NotEqual(t, batch.SpanContext().TraceID(), alone.TraceID(), "the batch is not its caller")
	}
}

func TestAnEntryWithNoTimeLeftIsNotStarted(t *testing.T) {
	t.Parallel()
	p := &postbox{}
	for _, left := range []time.Duration{0, time.Second, 50 * time.Millisecond, 1, -1} {
		p.entries = append(p.entries, posted{headers: rpc.Headers{Timeout: left}, workspace: 1})
	}
	require.NoError(t, call(t.Context(), p.serve(t).Dial(t, "inventory"), "BatchWriteNotes", newMessage("BatchWriteNotesRequest", nil)))
	for i, want := range []codes.Code{codes.OK, codes.OK, codes.DeadlineExceeded, codes.DeadlineExceeded, codes.DeadlineExceeded} {
		require.Equal(t, want, status.FromProto(p.answers[i]).Code(), i)
	}
}

func TestAPanicFailsItsEntryOnly(t *testing.T) {
	t.Parallel()
	var answers []*statusv1.Status
	s := rpctest.Serve(t, "notes", register(noteService, handlers{
		"WriteNote": ok,
		"BatchWriteNotes": func(ctx context.Context, _ *dynamicpb.Message) error {
			for i := range 3 {
				e := rpc.BeginEntry(ctx, "WriteNote", nil)
				answers = append(answers, e.End(e.Do(func() error {
					if i == 1 {
						panic("disk on fire")
					}
					return nil
				})))
			}
			return nil
		},
	}))
	require.NoError(t, call(t.Context(), s.Dial(t, "inventory"), "BatchWriteNotes", newMessage("BatchWriteNotesRequest", nil)))
	require.Nil(t, answers[0])
	require.Nil(t, answers[2])
	require.Equal(t, codes.Internal, status.FromProto(answers[1]).Code())
	require.NotContains(t, answers[1].String(), "fire")
	require.Contains(t, s.Logs(), "panic: disk on fire")
	require.Contains(t, s.Logs(), "entry_test.go", "the log says where")
}

func TestWhatACallWouldCarry(t *testing.T) {
	t.Parallel()
	require.Equal(t, rpc.Headers{Timeout: 10 * time.Second}, rpc.HeadersOf(context.Background()))
	ctx, cancel := context.WithTimeout(actor.WithToken(t.Context(), actor.Actor{}, "signed"), time.Minute)
	defer cancel()
	ctx, span := otel.Tracer("test").Start(ctx, "caller")
	defer span.End()
	h := rpc.HeadersOf(ctx)
	require.Equal(t, "signed", h.ActorToken)
	require.Contains(t, h.Traceparent, span.SpanContext().TraceID().String()+"-"+span.SpanContext().SpanID().String())
	require.InDelta(t, time.Minute, h.Timeout, float64(30*time.Second))
	within, end := rpc.WithDeadline(ctx)
	defer end()
	require.Equal(t, ctx, within)
	cancel()
	<-ctx.Done()
	require.True(t, errors.Is(within.Err(), context.Canceled))
}

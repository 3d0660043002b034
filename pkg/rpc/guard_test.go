package rpc_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func member(role actor.Role) actor.Actor {
	return actor.Actor{UserID: 7, Memberships: []actor.Membership{{WorkspaceID: 1, Role: role}}}
}

// notes has note 10 in workspace 1 and note 20 in workspace 2.
func notes(t *testing.T) *rpctest.Service {
	t.Helper()
	return rpctest.Serve(t, "notes", register(noteService, handlers{
		"CreateNote": ok, "WriteNote": ok, "Ping": ok, "WatchNotes": ok,
		"GetNote": func(ctx context.Context, req *dynamicpb.Message) error {
			switch req.Get(req.Descriptor().Fields().ByName("id")).Int() {
			case 10:
				return rpc.Authorize(ctx, 1)
			case 20:
				return rpc.Authorize(ctx, 2)
			}
			return errs.NotFound("note")
		},
	}))
}

func TestOnlyPermittedServicesMayCall(t *testing.T) {
	t.Parallel()
	s := notes(t)
	tests := map[string]struct {
		caller, method string
		want           codes.Code
	}{
		"permitted":                        {"inventory", "WriteNote", codes.OK},
		"not named":                        {"tenancy", "WriteNote", codes.PermissionDenied},
		"the operator where named":         {"operator", "Ping", codes.OK},
		"the operator elsewhere":           {"operator", "WriteNote", codes.PermissionDenied},
		"the service itself is no caller":  {"notes", "Ping", codes.PermissionDenied},
		"the gateway, for nobody":          {"gateway", "WriteNote", codes.Unauthenticated},
		"the gateway, before it knows who": {"gateway", "Ping", codes.OK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := call(t.Context(), s.Dial(t, tt.caller), tt.method, note(map[string]any{"workspace_id": int64(1)}))
			require.Equal(t, tt.want, errs.Code(err), "%v", err)
			if tt.want == codes.PermissionDenied {
				require.Equal(t, "CALLER_NOT_PERMITTED", errs.Reason(err))
			}
		})
	}
}

func TestWhoMayDoWhatInAWorkspace(t *testing.T) {
	t.Parallel()
	s := notes(t)
	tests := map[string]struct {
		actor  actor.Actor
		method string
		req    map[string]any
		want   codes.Code
	}{
		"a member who may":                       {member(actor.Operator), "WriteNote", map[string]any{"workspace_id": int64(1)}, codes.OK},
		"a member who may not":                   {member(actor.Readonly), "WriteNote", map[string]any{"workspace_id": int64(1)}, codes.PermissionDenied},
		"not a member":                           {member(actor.Owner), "WriteNote", map[string]any{"workspace_id": int64(2)}, codes.NotFound},
		"not a member, and a bad request":        {member(actor.Owner), "WriteNote", map[string]any{"workspace_id": int64(2), "limit": int32(-1)}, codes.NotFound},
		"a member who may not, and a bad one":    {member(actor.Readonly), "WriteNote", map[string]any{"workspace_id": int64(1), "limit": int32(-1)}, codes.PermissionDenied},
		"no workspace":                           {member(actor.Owner), "WriteNote", nil, codes.InvalidArgument},
		"the platform's operator is no member":   {actor.Actor{UserID: 7, Operator: true}, "WriteNote", map[string]any{"workspace_id": int64(1)}, codes.NotFound},
		"an object of theirs":                    {member(actor.Readonly), "GetNote", map[string]any{"id": int64(10)}, codes.OK},
		"an object of others":                    {member(actor.Owner), "GetNote", map[string]any{"id": int64(20)}, codes.NotFound},
		"an object that is not there":            {member(actor.Owner), "GetNote", map[string]any{"id": int64(30)}, codes.NotFound},
		"an object of theirs, with no such role": {member("guest"), "GetNote", map[string]any{"id": int64(10)}, codes.PermissionDenied},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := call(t.Context(), s.DialActor(t, "gateway", tt.actor), tt.method, note(tt.req))
			require.Equal(t, tt.want, errs.Code(err), "%v", err)
			if tt.want == codes.PermissionDenied {
				e, _ := errs.As(err)
				require.Equal(t, "CAPABILITY_MISSING", e.Reason())
				require.NotEmpty(t, e.Metadata()["capability"])
			}
		})
	}
}

func TestAForeignObjectAndAMissingOneAreTheSameBytes(t *testing.T) {
	t.Parallel()
	s := notes(t)
	conn := s.DialActor(t, "gateway", member(actor.Owner))
	said := func(id int64) string {
		e, ok := errs.As(call(t.Context(), conn, "GetNote", note(map[string]any{"id": id})))
		require.True(t, ok)
		return e.GRPCStatus().Proto().String()
	}
	require.Equal(t, said(30), said(20))
}

func TestIdentityHeadersProveNothing(t *testing.T) {
	t.Parallel()
	s := notes(t)
	good := s.Token(t, member(actor.Owner))
	tests := map[string]struct {
		header []string
		want   codes.Code
	}{
		"a signed token":    {[]string{actor.Metadata, good}, codes.OK},
		"no token":          {[]string{"x-user-id", "7", "x-user-role", "owner"}, codes.Unauthenticated},
		"not a token":       {[]string{actor.Metadata, "7"}, codes.Unauthenticated},
		"signed by nobody":  {[]string{actor.Metadata, good[:len(good)-10]}, codes.Unauthenticated},
		"two of them":       {[]string{actor.Metadata, good, actor.Metadata, good}, codes.Unauthenticated},
		"an empty one":      {[]string{actor.Metadata, ""}, codes.Unauthenticated},
		"of another signer": {[]string{actor.Metadata, notes(t).Token(t, member(actor.Owner))}, codes.Unauthenticated},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := metadata.AppendToOutgoingContext(t.Context(), tt.header...)
			err := call(ctx, s.Dial(t, "gateway"), "WriteNote", note(map[string]any{"workspace_id": int64(1)}))
			require.Equal(t, tt.want, errs.Code(err), "%v", err)
		})
	}
}

func TestAStreamIsGuardedLikeACall(t *testing.T) {
	t.Parallel()
	s := notes(t)
	watch := func(conn *grpc.ClientConn, req map[string]any) error {
		stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/"+noteService+"/WatchNotes")
		if err != nil {
			return err
		}
		if err := stream.SendMsg(note(req)); err != nil {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		return stream.RecvMsg(note(nil))
	}
	require.NoError(t, watch(s.DialActor(t, "gateway", member(actor.Readonly)), map[string]any{"workspace_id": int64(1)}))
	require.NoError(t, watch(s.Dial(t, "inventory"), map[string]any{"workspace_id": int64(1)}))
	require.Equal(t, codes.NotFound, errs.Code(watch(s.DialActor(t, "gateway", member(actor.Owner)), map[string]any{"workspace_id": int64(2)})))
	require.Equal(t, codes.InvalidArgument, errs.Code(watch(s.Dial(t, "inventory"), map[string]any{"workspace_id": int64(1), "limit": int32(-1)})))
	require.Equal(t, codes.PermissionDenied, errs.Code(watch(s.Dial(t, "tenancy"), map[string]any{"workspace_id": int64(1)})))
	require.Equal(t, codes.Unauthenticated, errs.Code(watch(s.Dial(t, "gateway"), map[string]any{"workspace_id": int64(1)})))
}

func TestAHandlerKnowsWhoCalls(t *testing.T) {
	t.Parallel()
	type seen struct {
		caller, request string
		user            int64
		token           bool
	}
	got := make(chan seen, 1)
	s := rpctest.Serve(t, "notes", register(noteService, handlers{"WriteNote": func(ctx context.Context, _ *dynamicpb.Message) error {
		a, _ := actor.From(ctx)
		got <- seen{rpc.CallerFrom(ctx).Service, rpc.RequestIDFrom(ctx), a.UserID, actor.TokenFrom(ctx) != ""}
		return nil
	}}))
	req := note(map[string]any{"workspace_id": int64(1)})
	ctx := rpc.WithRequestID(t.Context(), "r-1")
	require.NoError(t, call(ctx, s.DialActor(t, "gateway", member(actor.Owner)), "WriteNote", req))
	require.Equal(t, seen{"gateway", "r-1", 7, true}, <-got)
	require.NoError(t, call(actor.WithToken(ctx, actor.Actor{}, s.Token(t, member(actor.Owner))), s.Dial(t, "inventory"), "WriteNote", req))
	require.Equal(t, seen{"inventory", "r-1", 7, true}, <-got, "a service passes the user on")
	require.NoError(t, call(t.Context(), s.Dial(t, "inventory"), "WriteNote", req))
	alone := <-got
	require.NotEmpty(t, alone.request, "a request id is made where none is given")
	require.Zero(t, alone.user)
	require.Contains(t, s.Logs(), "request_id=r-1")
	require.Contains(t, s.Logs(), "user_id=7")
	require.Contains(t, s.Logs(), "workspace_id=1")
}

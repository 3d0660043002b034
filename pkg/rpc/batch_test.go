package rpc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// An entry of a batch is held to what its own call is held to, to the byte, and
// costs its neighbours nothing.
func TestAnEntryOfABatchIsACallOfItsOwn(t *testing.T) {
	t.Parallel()
	entries := map[string]*dynamicpb.Message{
		"good":          note(map[string]any{"workspace_id": int64(1)}),
		"no workspace":  note(nil),
		"foreign":       note(map[string]any{"workspace_id": int64(3)}),
		"may not":       note(map[string]any{"workspace_id": int64(2)}),
		"breaks a rule": note(map[string]any{"workspace_id": int64(1), "limit": int32(-1), "tags": []string{"much longer than ten"}}),
		"NUL":           note(map[string]any{"workspace_id": int64(1), "body": "a\x00"}),
	}
	batch := newMessage("BatchWriteNotesRequest", nil)
	var names []string
	for name, e := range entries {
		names = append(names, name)
		set(batch, "notes", e)
	}
	var told []*statusv1.Status
	s := rpctest.Serve(t, "notes", register(noteService, handlers{
		"WriteNote": ok,
		"BatchWriteNotes": func(ctx context.Context, req *dynamicpb.Message) error {
			told = nil
			list := req.Get(req.Descriptor().Fields().ByName("notes")).List()
			for i := range list.Len() {
				e := rpc.BeginEntry(ctx, "WriteNote", nil)
				told = append(told, e.End(e.Check(list.Get(i).Message().Interface())))
			}
			return nil
		},
	}))
	conn := s.DialActor(t, "gateway", actor.Actor{UserID: 7, Memberships: []actor.Membership{
		{WorkspaceID: 1, Role: actor.Operator}, {WorkspaceID: 2, Role: actor.Readonly}}})
	require.NoError(t, call(t.Context(), conn, "BatchWriteNotes", batch))
	for i, name := range names {
		one := call(t.Context(), conn, "WriteNote", entries[name])
		if name == "good" {
			require.NoError(t, one)
			require.Nil(t, told[i])
			continue
		}
		require.Error(t, one, name)
		require.Equal(t, one, errs.FromStatus(status.FromProto(told[i]).Err()), name)
	}
	require.Contains(t, s.Logs(), "entries=6 refused_entries=5")
}

func TestAFaultInABatchIsLoggedAndToldNothing(t *testing.T) {
	t.Parallel()
	var told *statusv1.Status
	s := rpctest.Serve(t, "notes", register(noteService, handlers{
		"BatchWriteNotes": func(ctx context.Context, _ *dynamicpb.Message) error {
			told = rpc.BeginEntry(ctx, "WriteNote", nil).End(errors.New("disk on fire"))
			return nil
		},
	}))
	require.NoError(t, call(t.Context(), s.Dial(t, "inventory"), "BatchWriteNotes", newMessage("BatchWriteNotesRequest", nil)))
	require.NotContains(t, told.Message, "fire")
	require.Contains(t, s.Logs(), "level=ERROR")
	require.Contains(t, s.Logs(), "disk on fire")
}

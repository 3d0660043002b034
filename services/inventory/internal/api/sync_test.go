package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// A retry that names no types syncs those of the original. One that names types must
// name the same.
func TestStartSyncRepeatsAnEndedOne(t *testing.T) {
	t.Parallel()
	w := setup(t)
	start := func(retryOf *int64, types ...string) *operationsv1.Run {
		got, err := w.writer.StartSync(t.Context(), &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID, Types: types, RetryOf: retryOf})
		require.NoError(t, err)
		require.True(t, got.GetStarted())
		w.runs.Complete()
		return got.GetRun()
	}
	some, all := start(nil, "a"), start(nil)
	for _, again := range []struct {
		of    *operationsv1.Run
		types []string
	}{{some, nil}, {some, []string{"a"}}, {all, nil}, {all, []string{"b", "a"}}} {
		got := start(&again.of.Id, again.types...)
		require.Equal(t, again.of.GetId(), got.GetRetryOf())
		require.EqualValues(t, 1, got.GetRetryNumber())
		require.Equal(t, again.of.GetContext().AsMap()["inputs"], got.GetContext().AsMap()["inputs"])
	}
}

func TestStartSyncRefusesToRepeat(t *testing.T) {
	t.Parallel()
	w := setup(t)
	begin := func(workspace int64, typ string, context map[string]any) int64 {
		about, err := structpb.NewStruct(context)
		require.NoError(t, err)
		got, err := w.runs.StartRun(t.Context(), &operationsv1.StartRunRequest{
			WorkspaceId: workspace, TenantId: proto.Int64(tenantID), Type: typ, IdentityInputs: item.Selection{"a"}.Hash(), Context: about,
		})
		require.NoError(t, err)
		return got.GetRun().GetId()
	}
	ended, foreign := begin(workspaceID, item.RunType, item.Selection{"a"}.Context(0)), begin(elsewhere, item.RunType, item.Selection{"a"}.Context(0))
	other := begin(workspaceID, "drift_generate_findings", item.Selection{"x"}.Context(0))
	w.runs.Complete()
	tests := map[string]*inventoryv1.StartSyncRequest{
		"no run":                     {RetryOf: proto.Int64(99)},
		"no run, with types":         {RetryOf: proto.Int64(99), Types: []string{"a"}},
		"a foreign run":              {RetryOf: &foreign},
		"a foreign run, with types":  {RetryOf: &foreign, Types: []string{"a"}},
		"of another type":            {RetryOf: &other},
		"of other policy types":      {RetryOf: &ended, Types: []string{"b"}},
		"one that has not ended yet": {RetryOf: proto.Int64(begin(workspaceID, item.RunType, item.Selection{"a"}.Context(0)))},
		"one of types since removed": {RetryOf: proto.Int64(begin(workspaceID, item.RunType, item.Selection{"a", "x"}.Context(0)))},
		"zero":                       {RetryOf: proto.Int64(0)},
	}
	said := map[string]string{}
	for name, req := range tests {
		req.WorkspaceId, req.TenantId = workspaceID, tenantID
		_, err := w.writer.StartSync(t.Context(), req)
		refused(t, err, codes.InvalidArgument, "retry_of")
		said[name] = strings.NewReplacer(fmt.Sprint(" ", foreign, " "), " N ", " 99 ", " N ").Replace(err.Error())
	}
	require.Equal(t, said["no run"], said["a foreign run"], "the same words")
	require.Equal(t, said["no run, with types"], said["a foreign run, with types"])
}

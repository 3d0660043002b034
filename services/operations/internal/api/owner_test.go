package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// A type whose owner may not call StartRun could never have a run.
func TestOwnersOfTypesMayStartRuns(t *testing.T) {
	t.Parallel()
	method := operationsv1.File_tenantpilot_operations_v1_run_service_proto.Services().ByName("RunService").Methods().ByName("StartRun")
	rule, _ := proto.GetExtension(method.Options(), authzv1.E_Rule).(*authzv1.Rule)
	callers, err := rpc.Callers(rule)
	require.NoError(t, err)
	for _, typ := range run.DefaultTypes() {
		require.Contains(t, callers, typ.Owner, "%s owns the run type %s: add it to the group `workers` in proto/tenantpilot/authz/v1/authz.proto", typ.Owner, typ.Name)
	}
}

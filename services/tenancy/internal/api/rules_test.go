package api_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// methods are all of tenancy's, as their proto describes them.
func methods() (all []protoreflect.MethodDescriptor) {
	for _, file := range []protoreflect.FileDescriptor{
		tenancyv1.File_tenantpilot_tenancy_v1_workspace_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_workspace_reader_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_tenant_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_tenant_reader_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_api_token_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_identity_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_graph_token_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_import_service_proto,
	} {
		services := file.Services()
		for i := range services.Len() {
			for j := range services.Get(i).Methods().Len() {
				all = append(all, services.Get(i).Methods().Get(j))
			}
		}
	}
	return all
}

// call calls m with nothing in the request but the workspace.
func call(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, workspaceID int64) error {
	req, resp := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if f := m.Input().Fields().ByName("workspace_id"); f != nil {
		req.Set(f, protoreflect.ValueOfInt64(workspaceID))
	}
	return conn.Invoke(ctx, "/"+string(m.Parent().FullName())+"/"+string(m.Name()), req, resp)
}

func ruleOf(m protoreflect.MethodDescriptor) *authzv1.Rule {
	rule, _ := proto.GetExtension(m.Options(), authzv1.E_Rule).(*authzv1.Rule)
	return rule
}

// Every method, every service that is not named in its rule.
func TestCallersNotPermitted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Len(t, methods(), 24)
	for _, caller := range []string{"gateway", "operator", "inventory", "backup", "operations", "tenancy", "takeover", "stranger"} {
		conn := w.svc.Dial(t, caller)
		for _, m := range methods() {
			callers, err := rpc.Callers(ruleOf(m))
			require.NoError(t, err)
			permitted := slices.Contains(callers, caller)
			denied := errs.Reason(call(t.Context(), conn, m, w.workspace.GetId())) == "CALLER_NOT_PERMITTED"
			require.Equal(t, permitted, !denied, "%s by %s", m.FullName(), caller)
		}
	}
}

// Every method of the gateway, every role, and nobody's member.
func TestRolesOfMethods(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, role := range []actor.Role{"", actor.Readonly, actor.Operator, actor.Manager, actor.Owner} {
		user := actor.Actor{UserID: w.owner.GetId()}
		if role != "" {
			user.Memberships = []actor.Membership{{WorkspaceID: w.workspace.GetId(), Role: role}}
		}
		conn := w.svc.DialActor(t, "gateway", user)
		for _, m := range methods() {
			rule := ruleOf(m)
			if rule.GetScope() != authzv1.Scope_SCOPE_WORKSPACE || rule.GetCallers()[0] != "gateway" {
				continue
			}
			err := call(t.Context(), conn, m, w.workspace.GetId())
			if role == "" {
				require.Equal(t, codes.NotFound, errs.Code(err), "%s: %v", m.FullName(), err)
				require.Equal(t, errs.NotFound(rule.GetResource()).Message(), err.Error())
				continue
			}
			allowed := role.Allows(actor.Capability(rule.GetCapability()))
			require.Equal(t, allowed, errs.Reason(err) != "CAPABILITY_MISSING", "%s as %s: %v", m.FullName(), role, err)
			require.NotEqual(t, codes.Internal, errs.Code(err), "%s as %s", m.FullName(), role)
		}
	}
}

package api_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// twenty calls f twenty times at once and returns the ids that it got.
func twenty(t *testing.T, f func() (int64, error)) map[int64]bool {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	ids := map[int64]bool{}
	for range 20 {
		group.Go(func() {
			id, err := f()
			mu.Lock()
			defer mu.Unlock()
			if ids[id] = true; err != nil {
				t.Errorf("call: %v", err)
			}
		})
	}
	group.Wait()
	return ids
}

func TestOneRequestIDTwentyTimes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	owner := w.as(t, w.owner.Id, actor.Owner)
	tenants := twenty(t, func() (int64, error) {
		resp, err := owner.CreateTenant(t.Context(), &tenancyv1.CreateTenantRequest{
			WorkspaceId: w.workspace.Id, DisplayName: "Fabrikam", DirectoryId: directory, RequestId: "r1",
			ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: secret},
		})
		return resp.GetTenant().GetId(), err
	})
	require.Len(t, tenants, 1)
	members := twenty(t, func() (int64, error) {
		resp, err := owner.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
			WorkspaceId: w.workspace.Id, DisplayName: "Grace", Role: tenancyv1.Role_ROLE_READONLY, RequestId: "r2",
		})
		return resp.GetMember().GetUserId(), err
	})
	require.Len(t, members, 1)
	workspaces := twenty(t, func() (int64, error) {
		resp, err := w.operator.CreateWorkspace(t.Context(), &tenancyv1.CreateWorkspaceRequest{
			DisplayName: "Northwind", OwnerDisplayName: "N", RequestId: "r1",
		})
		return resp.GetWorkspace().GetId(), err
	})
	require.Len(t, workspaces, 1)
	require.ElementsMatch(t, []string{"workspace.create", "tenant.create", "member.add", "workspace.create"}, w.audited(t))
}

// A lost answer can be asked for again; it is the first answer, though the
// tenant has changed since.
func TestLostReply(t *testing.T) {
	t.Parallel()
	w := setup(t)
	owner := w.as(t, w.owner.Id, actor.Owner)
	ask := &tenancyv1.CreateTenantRequest{WorkspaceId: w.workspace.Id, DisplayName: "Fabrikam", DirectoryId: directory, RequestId: "r1"}
	w.svc.LoseReply(1, "CreateTenant")
	first, err := owner.CreateTenant(t.Context(), ask)
	require.NoError(t, err, "the client says it again by itself")
	_, err = owner.UpdateTenant(t.Context(), &tenancyv1.UpdateTenantRequest{
		WorkspaceId: w.workspace.Id, TenantId: first.Tenant.Id, DisplayName: "Renamed",
	})
	require.NoError(t, err)
	again, err := owner.CreateTenant(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, first.Tenant.String(), again.Tenant.String())
}

func TestRequestIDReused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_OWNER)
	owner := w.as(t, w.owner.Id, actor.Owner)
	ask := func() *tenancyv1.CreateTenantRequest {
		return &tenancyv1.CreateTenantRequest{
			WorkspaceId: w.workspace.Id, DisplayName: "Fabrikam", DirectoryId: directory, RequestId: "r1",
			ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: secret},
		}
	}
	_, err := owner.CreateTenant(t.Context(), ask())
	require.NoError(t, err)

	other := ask()
	other.DisplayName = "Other"
	_, err = owner.CreateTenant(t.Context(), other)
	require.Equal(t, "request_id", refused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED").Fields()[0].Path)
	other = ask()
	other.ClientSecret.Secret = "other"
	_, err = owner.CreateTenant(t.Context(), other)
	refused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	_, err = w.as(t, m.UserId, actor.Owner).CreateTenant(t.Context(), ask())
	refused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	_, err = owner.UpdateWorkspace(t.Context(), &tenancyv1.UpdateWorkspaceRequest{WorkspaceId: w.workspace.Id, DisplayName: "X", RequestId: "r1"})
	refused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	_, err = w.operator.CreateTenant(t.Context(), ask())
	refused(t, err, codes.AlreadyExists, "TENANT_EXISTS") // another caller's request ids are its own
}

// What failed is not remembered: the same request id may try again.
func TestFailureIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	blocker := w.tenant(t, secret)
	owner := w.as(t, w.owner.Id, actor.Owner)
	ask := &tenancyv1.CreateTenantRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Fabrikam", DirectoryId: "00000000-0000-4000-8000-000000000001", RequestId: "r1",
	}
	_, err := owner.CreateTenant(t.Context(), ask)
	refused(t, err, codes.AlreadyExists, "TENANT_EXISTS")
	_, err = owner.DeleteTenant(t.Context(), &tenancyv1.DeleteTenantRequest{WorkspaceId: w.workspace.Id, TenantId: blocker.Id})
	require.NoError(t, err)
	_, err = owner.CreateTenant(t.Context(), ask)
	require.NoError(t, err)
}

// Digests are stored: a call that is repeated after an upgrade must have the
// digest that it had before.
func TestTheDigestOfACallNeverChanges(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := &tenancyv1.UpdateWorkspaceRequest{WorkspaceId: w.workspace.Id, DisplayName: "Northwind", RequestId: "r1"}
	_, err := w.as(t, w.owner.Id, actor.Owner).UpdateWorkspace(t.Context(), req)
	require.NoError(t, err)
	req.RequestId = ""
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	require.NoError(t, err)
	want := sha256.Sum256(fmt.Appendf(nil, "UpdateWorkspace|%d|%s", w.owner.Id, wire))
	var got []byte
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select digest from answered_request where request_id = 'r1'").Scan(&got))
	require.Equal(t, want[:], got)
}

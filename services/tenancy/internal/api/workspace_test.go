package api_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

func TestCreateWorkspace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, "Contoso", w.workspace.DisplayName)
	require.Equal(t, "Contoso owner", w.owner.DisplayName)
	members, err := w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: w.workspace.Id})
	require.NoError(t, err)
	require.Len(t, members.Members, 1)
	require.Equal(t, tenancyv1.Role_ROLE_OWNER, members.Members[0].Role)
	require.Equal(t, w.owner.Id, members.Members[0].UserId)

	ask := &tenancyv1.CreateWorkspaceRequest{DisplayName: " Contoso ", OwnerDisplayName: "Other"}
	_, err = w.operator.CreateWorkspace(t.Context(), ask)
	refused(t, err, codes.AlreadyExists, "WORKSPACE_EXISTS")

	ask.DisplayName = "   "
	_, err = w.operator.CreateWorkspace(t.Context(), ask)
	e := refused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	require.Equal(t, "display_name", e.Fields()[0].Path)

	ask.DisplayName = "nul\x00byte"
	_, err = w.operator.CreateWorkspace(t.Context(), ask)
	require.Equal(t, "display_name", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)

	_, err = w.as(t, w.owner.Id, actor.Owner).CreateWorkspace(t.Context(), &tenancyv1.CreateWorkspaceRequest{DisplayName: "X", OwnerDisplayName: "Y"})
	refused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")
	require.Equal(t, []string{"workspace.create"}, w.audited(t))
}

func TestUpdateWorkspace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.found(t, "Northwind")
	owner := w.as(t, w.owner.Id, actor.Owner)
	resp, err := owner.UpdateWorkspace(t.Context(), &tenancyv1.UpdateWorkspaceRequest{WorkspaceId: w.workspace.Id, DisplayName: "Contoso Ltd"})
	require.NoError(t, err)
	require.Equal(t, "Contoso Ltd", resp.Workspace.DisplayName)
	require.True(t, resp.Workspace.UpdateTime.AsTime().After(w.workspace.UpdateTime.AsTime()))

	_, err = owner.UpdateWorkspace(t.Context(), &tenancyv1.UpdateWorkspaceRequest{WorkspaceId: w.workspace.Id, DisplayName: "Northwind"})
	refused(t, err, codes.AlreadyExists, "WORKSPACE_EXISTS")

	_, err = w.as(t, w.owner.Id, actor.Manager).UpdateWorkspace(t.Context(), &tenancyv1.UpdateWorkspaceRequest{WorkspaceId: w.workspace.Id, DisplayName: "Mine"})
	refused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING")
}

// A workspace one is not a member of and one that does not exist answer alike.
func TestForeignWorkspaceIsNoWorkspace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	foreign, _ := w.found(t, "Northwind")
	owner := w.as(t, w.owner.Id, actor.Owner)
	var answers []string
	for _, id := range []int64{foreign.Id, 987654321} {
		_, err := owner.GetWorkspace(t.Context(), &tenancyv1.GetWorkspaceRequest{WorkspaceId: id})
		answers = append(answers, fmt.Sprint(refused(t, err, codes.NotFound, "NOT_FOUND").GRPCStatus().Proto()))
	}
	require.Equal(t, answers[0], answers[1])
	_, err := w.operator.GetWorkspace(t.Context(), &tenancyv1.GetWorkspaceRequest{WorkspaceId: 987654321})
	require.Equal(t, answers[0], fmt.Sprint(refused(t, err, codes.NotFound, "NOT_FOUND").GRPCStatus().Proto()))
	got, err := owner.GetWorkspace(t.Context(), &tenancyv1.GetWorkspaceRequest{WorkspaceId: w.workspace.Id})
	require.NoError(t, err)
	require.Equal(t, "Contoso", got.Workspace.DisplayName)
}

func TestListWorkspaces(t *testing.T) {
	t.Parallel()
	w := setup(t)
	second, _ := w.found(t, "Northwind")
	w.found(t, "Fabrikam")

	names := func(c clients, size int32) (out []string) {
		ask := &tenancyv1.ListWorkspacesRequest{PageSize: size}
		for {
			resp, err := c.ListWorkspaces(t.Context(), ask)
			require.NoError(t, err)
			for _, one := range resp.Workspaces {
				out = append(out, one.DisplayName)
			}
			if ask.PageToken = resp.NextPageToken; ask.PageToken == "" {
				return out
			}
		}
	}
	require.Equal(t, []string{"Contoso", "Northwind", "Fabrikam"}, names(w.operator, 2))
	both := w.in(t, w.owner.Id,
		actor.Membership{WorkspaceID: second.Id, Role: actor.Readonly}, actor.Membership{WorkspaceID: w.workspace.Id, Role: actor.Owner})
	require.Equal(t, []string{"Contoso", "Northwind"}, names(both, 1))
	require.Empty(t, names(w.in(t, 99), 0), "a member of nothing sees nothing")

	_, err := newClients(w.svc.Dial(t, "gateway")).ListWorkspaces(t.Context(), &tenancyv1.ListWorkspacesRequest{})
	refused(t, err, codes.Unauthenticated, "ACTOR_MISSING")
	_, err = w.operator.ListWorkspaces(t.Context(), &tenancyv1.ListWorkspacesRequest{PageSize: -1})
	refused(t, err, codes.InvalidArgument, "INVALID_FIELD")
}

// A page token is good for its list only.
func TestPageTokens(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.member(t, tenancyv1.Role_ROLE_READONLY)
	other, _ := w.found(t, "Northwind")
	first, err := w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: w.workspace.Id, PageSize: 1})
	require.NoError(t, err)
	require.NotEmpty(t, first.NextPageToken)
	token := first.NextPageToken

	rest, err := w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: w.workspace.Id, PageToken: token})
	require.NoError(t, err)
	require.Len(t, rest.Members, 1)
	require.Empty(t, rest.NextPageToken)
	require.NotEqual(t, first.Members[0].UserId, rest.Members[0].UserId)

	_, err = w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: other.Id, PageToken: token})
	refused(t, err, codes.InvalidArgument, "INVALID_PAGE_TOKEN")
	_, err = w.operator.ListTenants(t.Context(), &tenancyv1.ListTenantsRequest{WorkspaceId: w.workspace.Id, PageToken: token})
	refused(t, err, codes.InvalidArgument, "INVALID_PAGE_TOKEN")
	_, err = w.operator.ListApiTokens(t.Context(), &tenancyv1.ListApiTokensRequest{WorkspaceId: w.workspace.Id, PageToken: "x" + token[1:]})
	refused(t, err, codes.InvalidArgument, "INVALID_PAGE_TOKEN")
}

// Lists of a workspace that does not exist are not empty lists.
func TestListsInNoWorkspace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: 987654321})
	refused(t, err, codes.NotFound, "NOT_FOUND")
	_, err = w.operator.ListTenants(t.Context(), &tenancyv1.ListTenantsRequest{WorkspaceId: 987654321})
	refused(t, err, codes.NotFound, "NOT_FOUND")
	_, err = w.operator.ListApiTokens(t.Context(), &tenancyv1.ListApiTokensRequest{WorkspaceId: 987654321})
	refused(t, err, codes.NotFound, "NOT_FOUND")
}

package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const directory2 = "00000000-0000-4000-8000-000000000002"

// legacyTenants are two workspaces (7, 8) and their tenants.
func legacyTenants(t *testing.T, w *world) (*tenancyv1.ImportTenantsRequest, map[int64]int64) {
	t.Helper()
	resp, err := w.takeover(t).ImportWorkspaces(t.Context(), workspaces(
		&tenancyv1.LegacyWorkspace{LegacyId: 7, DisplayName: "Seven"}, &tenancyv1.LegacyWorkspace{LegacyId: 8, DisplayName: "Eight"},
	))
	require.NoError(t, err)
	in := func(workspace int64) *tenancyv1.LegacyTenant_LegacyWorkspaceId {
		return &tenancyv1.LegacyTenant_LegacyWorkspaceId{LegacyWorkspaceId: workspace}
	}
	return &tenancyv1.ImportTenantsRequest{Tenants: []*tenancyv1.LegacyTenant{
		{LegacyId: 1, Workspace: in(7), DisplayName: "Fabrikam", DirectoryId: strings.ToUpper(directory), PrimaryDomain: "fabrikam.example"},
		{LegacyId: 2, Workspace: in(8), DisplayName: "Fabrikam", DirectoryId: directory},
		{LegacyId: 3, Workspace: in(8), DisplayName: "Fabrikam", DirectoryId: directory2, NationalCloud: tenancyv1.NationalCloud_NATIONAL_CLOUD_CHINA},
		{LegacyId: 4, Workspace: in(7), DisplayName: "Again", DirectoryId: directory},
		{LegacyId: 5, Workspace: in(7), DisplayName: "Bad", DirectoryId: "fabrikam.example"},
		{LegacyId: 6, Workspace: in(99), DisplayName: "Lost", DirectoryId: directory},
		{LegacyId: 7, DisplayName: "Nowhere", DirectoryId: directory},
		{LegacyId: 8, Workspace: &tenancyv1.LegacyTenant_WorkspaceId{WorkspaceId: w.workspace.Id}, DirectoryId: directory2},
		{LegacyId: 9, Workspace: &tenancyv1.LegacyTenant_WorkspaceId{WorkspaceId: 987654321}, DirectoryId: directory2},
	}}, ids(resp.Results)
}

func TestImportTenants(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ask, in := legacyTenants(t, w)
	tool := w.takeover(t)
	first, err := tool.ImportTenants(t.Context(), ask)
	require.NoError(t, err)
	problems := []string{
		"4 refused TENANT_EXISTS directory_id",
		"5 refused INVALID_FIELD directory_id",
		"6 refused INVALID_FIELD legacy_workspace_id",
		"7 refused INVALID_FIELD workspace",
	}
	require.Equal(t, append(append([]string{"1 created Fabrikam", "2 created Fabrikam", "3 created Fabrikam (legacy 3)"}, problems...),
		"8 created Tenant (legacy 8)", "9 refused INVALID_FIELD workspace_id"), said(first.Results))
	e, _ := errs.As(errs.FromStatus(status.ErrorProto(first.Results[3].Error)))
	require.Equal(t, fmt.Sprint(first.Results[0].Id), e.Metadata()["tenant_id"])
	require.Equal(t, "1", e.Metadata()["legacy_id"])

	got, err := w.operator.GetTenant(t.Context(), &tenancyv1.GetTenantRequest{WorkspaceId: in[8], TenantId: first.Results[2].Id})
	require.NoError(t, err)
	require.Equal(t, tenancyv1.NationalCloud_NATIONAL_CLOUD_CHINA, got.Tenant.NationalCloud)
	require.Equal(t, directory2, got.Tenant.DirectoryId)
	require.Nil(t, got.Tenant.GraphConnection)

	for range 2 {
		again, err := tool.ImportTenants(t.Context(), ask)
		require.NoError(t, err)
		require.Equal(t, ids(first.Results), ids(again.Results))
		require.Equal(t, problems, said(again.Results)[3:7])
	}
	ask.Tenants[0].Workspace = &tenancyv1.LegacyTenant_LegacyWorkspaceId{LegacyWorkspaceId: 8}
	moved, err := tool.ImportTenants(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, "1 refused LEGACY_ID_ELSEWHERE ", said(moved.Results)[0])
}

// Who made the tenant here already, with its secret, keeps it.
func TestImportAdoptsTenants(t *testing.T) {
	t.Parallel()
	w := setup(t)
	here := w.tenant(t, secret)
	tool := w.takeover(t)
	ask := &tenancyv1.ImportTenantsRequest{Tenants: []*tenancyv1.LegacyTenant{{
		LegacyId: 1, Workspace: &tenancyv1.LegacyTenant_WorkspaceId{WorkspaceId: w.workspace.Id}, DisplayName: "Other", DirectoryId: directory,
	}}}
	for _, want := range []string{"1 adopted Fabrikam", "1 found Fabrikam"} {
		resp, err := tool.ImportTenants(t.Context(), ask)
		require.NoError(t, err)
		require.Equal(t, []string{want}, said(resp.Results))
		require.Equal(t, here.Id, resp.Results[0].Id)
	}
	got, err := w.operator.GetTenant(t.Context(), &tenancyv1.GetTenantRequest{WorkspaceId: w.workspace.Id, TenantId: here.Id})
	require.NoError(t, err)
	require.Equal(t, here.String(), got.Tenant.String())
}

// What was deleted here does not come back, and its runs still have an id.
func TestImportLeavesDeletedTenantsDeleted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ask, in := legacyTenants(t, w)
	tool := w.takeover(t)
	first, err := tool.ImportTenants(t.Context(), ask)
	require.NoError(t, err)
	_, err = w.operator.DeleteTenant(t.Context(), &tenancyv1.DeleteTenantRequest{WorkspaceId: in[7], TenantId: first.Results[0].Id})
	require.NoError(t, err)
	ask.Tenants = ask.Tenants[:1]
	again, err := tool.ImportTenants(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, []string{"1 found "}, said(again.Results))
	require.Equal(t, first.Results[0].Id, again.Results[0].Id)
	list, err := w.operator.ListTenants(t.Context(), &tenancyv1.ListTenantsRequest{WorkspaceId: in[7]})
	require.NoError(t, err)
	require.Empty(t, list.Tenants)
}

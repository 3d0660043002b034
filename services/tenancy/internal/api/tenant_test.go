package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

func TestCreateTenant(t *testing.T) {
	t.Parallel()
	w := setup(t)
	manager := w.as(t, w.owner.Id, actor.Manager)
	expires := timestamppb.New(time.Now().Add(time.Hour).Truncate(time.Millisecond))
	resp, err := manager.CreateTenant(t.Context(), &tenancyv1.CreateTenantRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Fabrikam", DirectoryId: strings.ToUpper(directory),
		PrimaryDomain: "fabrikam.example", NationalCloud: tenancyv1.NationalCloud_NATIONAL_CLOUD_US_GOV_DOD,
		ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: secret, ExpireTime: expires},
	})
	require.NoError(t, err)
	made := resp.Tenant
	require.Equal(t, directory, made.DirectoryId, "in lower case")
	require.Equal(t, tenancyv1.NationalCloud_NATIONAL_CLOUD_US_GOV_DOD, made.NationalCloud)
	require.Equal(t, clientID, made.GraphConnection.ClientId)
	require.Equal(t, expires.AsTime(), made.GraphConnection.SecretExpireTime.AsTime())
	require.NotEmpty(t, made.Etag)

	got, err := manager.GetTenant(t.Context(), &tenancyv1.GetTenantRequest{WorkspaceId: w.workspace.Id, TenantId: made.Id})
	require.NoError(t, err)
	require.Equal(t, made.String(), got.Tenant.String())
	list, err := manager.ListTenants(t.Context(), &tenancyv1.ListTenantsRequest{WorkspaceId: w.workspace.Id})
	require.NoError(t, err)
	require.Len(t, list.Tenants, 1)
	require.Equal(t, made.String(), list.Tenants[0].String())
	require.NotContains(t, fmt.Sprint(resp, got, list), secret)
	require.NotContains(t, w.svc.Logs(), secret)
	require.Equal(t, []string{"workspace.create", "tenant.create"}, w.audited(t))
}

func TestCreateTenantRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.tenant(t, secret)
	other, _ := w.found(t, "Northwind")
	const free = "00000000-0000-4000-8000-000000000001"
	tests := map[string]struct {
		role   actor.Role
		ask    *tenancyv1.CreateTenantRequest
		code   codes.Code
		reason string
		field  string
	}{
		"name taken": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Fabrikam", DirectoryId: free},
			codes.AlreadyExists, "TENANT_EXISTS", ""},
		"directory taken": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: strings.ToUpper(directory)},
			codes.AlreadyExists, "TENANT_EXISTS", ""},
		"no GUID": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: "contoso.onmicrosoft.com"},
			codes.InvalidArgument, "INVALID_FIELD", "directory_id"},
		"blank name": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: " ", DirectoryId: free},
			codes.InvalidArgument, "INVALID_FIELD", "display_name"},
		"no such cloud": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: free, NationalCloud: 99},
			codes.InvalidArgument, "INVALID_FIELD", "national_cloud"},
		"empty secret": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: free,
			ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID}},
			codes.InvalidArgument, "INVALID_FIELD", "client_secret.secret"},
		"secret with a line end": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: free,
			ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: secret + "\n"}},
			codes.InvalidArgument, "INVALID_FIELD", "client_secret.secret"},
		"secret too long": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: free,
			ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: strings.Repeat(secret, 100)}},
			codes.InvalidArgument, "INVALID_FIELD", "client_secret.secret"},
		"expired secret": {actor.Manager, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: free,
			ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: secret, ExpireTime: timestamppb.New(time.Now().Add(-time.Hour))}},
			codes.InvalidArgument, "INVALID_FIELD", "client_secret.expire_time"},
		"operator's role": {actor.Operator, &tenancyv1.CreateTenantRequest{DisplayName: "Two", DirectoryId: free},
			codes.PermissionDenied, "CAPABILITY_MISSING", ""},
		"other workspace": {actor.Owner, &tenancyv1.CreateTenantRequest{WorkspaceId: other.Id, DisplayName: "Two", DirectoryId: free},
			codes.NotFound, "NOT_FOUND", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.ask.WorkspaceId == 0 {
				test.ask.WorkspaceId = w.workspace.Id
			}
			_, err := w.as(t, w.owner.Id, test.role).CreateTenant(t.Context(), test.ask)
			e := refused(t, err, test.code, test.reason)
			if test.field != "" {
				require.Equal(t, test.field, e.Fields()[0].Path)
			}
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, w.svc.Logs(), secret)
		})
	}
}

func TestCreateTenantInNoWorkspace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.operator.CreateTenant(t.Context(), &tenancyv1.CreateTenantRequest{
		WorkspaceId: 987654321, DisplayName: "Two", DirectoryId: directory,
	})
	refused(t, err, codes.NotFound, "NOT_FOUND")
}

func TestUpdateTenant(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.tenant(t, secret)
	manager := w.as(t, w.owner.Id, actor.Manager)
	ask := &tenancyv1.UpdateTenantRequest{WorkspaceId: w.workspace.Id, TenantId: made.Id, DisplayName: "Fabrikam Inc", Etag: made.Etag}
	resp, err := manager.UpdateTenant(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, "Fabrikam Inc", resp.Tenant.DisplayName)
	require.NotEqual(t, made.Etag, resp.Tenant.Etag)
	require.Equal(t, made.GraphConnection.String(), resp.Tenant.GraphConnection.String())

	ask.DisplayName = "Lost update"
	_, err = manager.UpdateTenant(t.Context(), ask)
	refused(t, err, codes.Aborted, "ETAG_MISMATCH")

	same, err := manager.UpdateTenant(t.Context(), &tenancyv1.UpdateTenantRequest{WorkspaceId: w.workspace.Id, TenantId: made.Id})
	require.NoError(t, err)
	require.Equal(t, resp.Tenant.String(), same.Tenant.String(), "nothing asked, nothing changed")

	domain, err := manager.UpdateTenant(t.Context(), &tenancyv1.UpdateTenantRequest{
		WorkspaceId: w.workspace.Id, TenantId: made.Id, PrimaryDomain: "fabrikam.example",
	})
	require.NoError(t, err)
	require.Equal(t, "Fabrikam Inc", domain.Tenant.DisplayName)
	require.Equal(t, "fabrikam.example", domain.Tenant.PrimaryDomain)
	require.Equal(t, []string{"workspace.create", "tenant.create", "tenant.update", "tenant.update"}, w.audited(t))
}

func TestSetGraphConnection(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.tenant(t, "first")
	manager := w.as(t, w.owner.Id, actor.Manager)
	resp, err := manager.SetGraphConnection(t.Context(), &tenancyv1.SetGraphConnectionRequest{
		WorkspaceId: w.workspace.Id, TenantId: made.Id,
		ClientSecret: &tenancyv1.ClientSecret{ClientId: "another", Secret: "second"},
	})
	require.NoError(t, err)
	require.Equal(t, "another", resp.Tenant.GraphConnection.ClientId)
	require.NotEqual(t, made.Etag, resp.Tenant.Etag)
	require.True(t, resp.Tenant.GraphConnection.SecretSetTime.AsTime().After(made.GraphConnection.SecretSetTime.AsTime()))

	_, err = manager.SetGraphConnection(t.Context(), &tenancyv1.SetGraphConnectionRequest{WorkspaceId: w.workspace.Id, TenantId: made.Id})
	require.Equal(t, "client_secret", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)
	_, err = manager.SetGraphConnection(t.Context(), &tenancyv1.SetGraphConnectionRequest{
		WorkspaceId: w.workspace.Id, TenantId: 987654321, ClientSecret: &tenancyv1.ClientSecret{ClientId: "a", Secret: "b"},
	})
	refused(t, err, codes.NotFound, "NOT_FOUND")
	_, err = w.as(t, w.owner.Id, actor.Operator).SetGraphConnection(t.Context(), &tenancyv1.SetGraphConnectionRequest{
		WorkspaceId: w.workspace.Id, TenantId: made.Id, ClientSecret: &tenancyv1.ClientSecret{ClientId: "a", Secret: "b"},
	})
	refused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING")
	require.Equal(t, []string{"workspace.create", "tenant.create", "graph_connection.set"}, w.audited(t))
}

// Deleting a tenant destroys its secret, and the token remembered for it.
func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.tenant(t, secret)
	inventory := newClients(w.svc.Dial(t, "inventory"))
	issue := &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: made.Id}
	_, err := inventory.IssueGraphToken(t.Context(), issue)
	require.NoError(t, err)

	remove := &tenancyv1.DeleteTenantRequest{WorkspaceId: w.workspace.Id, TenantId: made.Id}
	_, err = w.as(t, w.owner.Id, actor.Manager).DeleteTenant(t.Context(), remove)
	refused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING")
	owner := w.as(t, w.owner.Id, actor.Owner)
	_, err = owner.DeleteTenant(t.Context(), remove)
	require.NoError(t, err)
	_, err = owner.DeleteTenant(t.Context(), remove)
	refused(t, err, codes.NotFound, "NOT_FOUND")
	_, err = inventory.IssueGraphToken(t.Context(), issue)
	refused(t, err, codes.NotFound, "NOT_FOUND")
	var left int
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select count(*) from graph_connection").Scan(&left))
	require.Zero(t, left)
	require.Equal(t, []string{"workspace.create", "tenant.create", "tenant.delete"}, w.audited(t))
}

// Ids of one workspace are nothing in another, whichever method they are given to.
func TestTenantsOfOtherWorkspaces(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tenant := w.tenant(t, secret).Id
	other, stranger := w.found(t, "Northwind")
	c := w.in(t, stranger.Id, actor.Membership{WorkspaceID: other.Id, Role: actor.Owner})
	credential := &tenancyv1.ClientSecret{ClientId: "a", Secret: "b"}
	for _, id := range []int64{tenant, 987654321, -1, 0} {
		_, err := c.GetTenant(t.Context(), &tenancyv1.GetTenantRequest{WorkspaceId: other.Id, TenantId: id})
		refused(t, err, codes.NotFound, "NOT_FOUND")
		_, err = c.UpdateTenant(t.Context(), &tenancyv1.UpdateTenantRequest{WorkspaceId: other.Id, TenantId: id, DisplayName: "Mine"})
		refused(t, err, codes.NotFound, "NOT_FOUND")
		_, err = c.SetGraphConnection(t.Context(), &tenancyv1.SetGraphConnectionRequest{WorkspaceId: other.Id, TenantId: id, ClientSecret: credential})
		refused(t, err, codes.NotFound, "NOT_FOUND")
		_, err = c.DeleteTenant(t.Context(), &tenancyv1.DeleteTenantRequest{WorkspaceId: other.Id, TenantId: id})
		refused(t, err, codes.NotFound, "NOT_FOUND")
	}
	require.Equal(t, []string{"workspace.create", "tenant.create", "workspace.create"}, w.audited(t))
}

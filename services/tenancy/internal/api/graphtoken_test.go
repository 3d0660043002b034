package api_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

const tokenCall = "POST /{tenant}/oauth2/v2.0/token"

func (w *world) signIns() int { return w.sim.Stats().Calls[tokenCall] }

func TestIssueGraphToken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tenant := w.tenant(t, secret)
	inventory := newClients(w.svc.Dial(t, "inventory"))
	ask := &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: tenant.Id}

	first, err := inventory.IssueGraphToken(t.Context(), ask)
	require.NoError(t, err)
	require.NotEmpty(t, first.AccessToken)
	require.Equal(t, w.simURL, first.GraphUrl)
	require.Equal(t, directory, first.DirectoryId)
	require.WithinDuration(t, time.Now().Add(time.Hour), first.ExpireTime.AsTime(), time.Minute)

	again, err := inventory.IssueGraphToken(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, first.AccessToken, again.AccessToken)
	require.Equal(t, 1, w.signIns(), "the second answer is remembered")

	ask.ForceRefresh = true
	_, err = inventory.IssueGraphToken(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, 2, w.signIns(), "forced, the authority is asked")
	require.NotContains(t, w.svc.Logs(), first.AccessToken)
	require.NotContains(t, w.svc.Logs(), secret)
}

func TestIssueGraphTokenOnceForMany(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tenant := w.tenant(t, secret)
	inventory := newClients(w.svc.Dial(t, "inventory"))
	var group sync.WaitGroup
	failures := make(chan error, 20)
	for range 20 {
		group.Go(func() {
			_, err := inventory.IssueGraphToken(t.Context(), &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: tenant.Id})
			failures <- err
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	require.Equal(t, 1, w.signIns())
}

// A wrong secret is tried once, not by every caller; a corrected one at once.
func TestIssueGraphTokenWrongSecret(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tenant := w.tenant(t, "wrong~secret")
	inventory := newClients(w.svc.Dial(t, "inventory"))
	ask := &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: tenant.Id, ForceRefresh: true}
	for range 5 {
		_, err := inventory.IssueGraphToken(t.Context(), ask)
		e := refused(t, err, codes.FailedPrecondition, "TENANT_AUTH")
		require.Equal(t, "AADSTS7000215", e.Metadata()["code"])
		require.Contains(t, e.Metadata()["remediation"], "secret")
	}
	require.Equal(t, 1, w.signIns())
	require.NotContains(t, w.svc.Logs(), "wrong~secret")

	_, err := w.operator.SetGraphConnection(t.Context(), &tenancyv1.SetGraphConnectionRequest{
		WorkspaceId: w.workspace.Id, TenantId: tenant.Id,
		ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: secret},
	})
	require.NoError(t, err)
	_, err = inventory.IssueGraphToken(t.Context(), ask)
	require.NoError(t, err)
}

func TestIssueGraphTokenWithoutConnection(t *testing.T) {
	t.Parallel()
	w := setup(t)
	resp, err := w.operator.CreateTenant(t.Context(), &tenancyv1.CreateTenantRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Bare", DirectoryId: directory,
	})
	require.NoError(t, err)
	inventory := newClients(w.svc.Dial(t, "inventory"))
	_, err = inventory.IssueGraphToken(t.Context(), &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: resp.Tenant.Id})
	e := refused(t, err, codes.FailedPrecondition, "TENANT_AUTH")
	require.Equal(t, "NO_CONNECTION", e.Metadata()["code"])
	require.Zero(t, w.signIns())
}

func TestIssueGraphTokenIsNotForEverybody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tenant := w.tenant(t, secret)
	other, _ := w.found(t, "Northwind")
	ask := &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: tenant.Id}
	for _, caller := range []string{"operator", "operations", "tenancy"} {
		_, err := newClients(w.svc.Dial(t, caller)).IssueGraphToken(t.Context(), ask)
		refused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")
	}
	_, err := w.as(t, w.owner.Id, actor.Owner).IssueGraphToken(t.Context(), ask)
	refused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")

	inventory := newClients(w.svc.Dial(t, "inventory"))
	_, err = inventory.IssueGraphToken(t.Context(), &tenancyv1.IssueGraphTokenRequest{WorkspaceId: other.Id, TenantId: tenant.Id})
	refused(t, err, codes.NotFound, "NOT_FOUND")
	require.Zero(t, w.signIns())
}

// A ciphertext moved to another tenant's row must not open there: otherwise
// whoever can write rows could send a customer's secret to a directory of theirs.
func TestSwappedSecretsDoNotOpen(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tenant := w.tenant(t, secret)
	resp, err := w.operator.CreateTenant(t.Context(), &tenancyv1.CreateTenantRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Evil", DirectoryId: "00000000-0000-4000-8000-000000000001",
		ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: "harmless"},
	})
	require.NoError(t, err)
	w.exec(t, `update graph_connection a set secret_sealed = b.secret_sealed
		from graph_connection b where b.tenant_id <> a.tenant_id`)
	inventory := newClients(w.svc.Dial(t, "inventory"))
	for _, id := range []int64{tenant.Id, resp.Tenant.Id} {
		_, err = inventory.IssueGraphToken(t.Context(), &tenancyv1.IssueGraphTokenRequest{WorkspaceId: w.workspace.Id, TenantId: id})
		refused(t, err, codes.Internal, "INTERNAL")
	}
	require.Zero(t, w.signIns())
}

package api_test

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/api"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/graphtoken"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/seal"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	directory = "9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90"
	clientID  = "11111111-2222-3333-4444-555555555555"
	secret    = "canary~secret.value-8Q~x"
)

// world is a tenancy service on a database of its own, with a simulated
// authority, one workspace and its owner.
type world struct {
	db        *pgtest.DB
	svc       *rpctest.Service
	sim       *graphsim.Server
	simURL    string
	workspace *tenancyv1.Workspace
	owner     *tenancyv1.User
	operator  clients
}

// clients speak to tenancy as one caller.
type clients struct {
	tenancyv1.WorkspaceServiceClient
	tenancyv1.WorkspaceReaderServiceClient
	tenancyv1.TenantServiceClient
	tenancyv1.TenantReaderServiceClient
	tenancyv1.ApiTokenServiceClient
	tenancyv1.IdentityServiceClient
	tenancyv1.GraphTokenServiceClient
	tenancyv1.ImportServiceClient
}

func newClients(conn *grpc.ClientConn) clients {
	return clients{
		tenancyv1.NewWorkspaceServiceClient(conn), tenancyv1.NewWorkspaceReaderServiceClient(conn),
		tenancyv1.NewTenantServiceClient(conn), tenancyv1.NewTenantReaderServiceClient(conn),
		tenancyv1.NewApiTokenServiceClient(conn), tenancyv1.NewIdentityServiceClient(conn),
		tenancyv1.NewGraphTokenServiceClient(conn), tenancyv1.NewImportServiceClient(conn),
	}
}

func migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{db: pgtest.New(t, "tenancy", migrate)}
	authority := w.authority(t)
	issuer, err := graphtoken.New(graphtoken.Config{AuthorityOverride: w.simURL, GraphOverride: w.simURL, ExtraCA: authority})
	require.NoError(t, err)
	t.Cleanup(issuer.Close)
	box, err := seal.New("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	require.NoError(t, err)
	pages, err := page.NewSealer(page.RandomKey())
	require.NoError(t, err)
	a := &api.API{Store: store.New(w.db.Pool), Box: box, Graph: issuer, Pages: pages, Now: time.Now}
	w.svc = rpctest.Serve(t, "tenancy", a.Register)
	w.operator = newClients(w.svc.Dial(t, "operator"))
	w.workspace, w.owner = w.found(t, "Contoso")
	return w
}

// authority starts the simulator and returns a file with its certificate.
func (w *world) authority(t *testing.T) string {
	t.Helper()
	var err error
	w.sim, err = graphsim.New(graphsim.Config{Tenants: []graphsim.TenantConfig{
		{ID: directory, ClientID: clientID, ClientSecret: secret, Size: 1},
	}})
	require.NoError(t, err)
	server := httptest.NewTLSServer(w.sim)
	t.Cleanup(server.Close)
	w.simURL = server.URL
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

func (w *world) found(t *testing.T, name string) (*tenancyv1.Workspace, *tenancyv1.User) {
	t.Helper()
	resp, err := w.operator.CreateWorkspace(t.Context(), &tenancyv1.CreateWorkspaceRequest{
		DisplayName: name, OwnerDisplayName: name + " owner", OwnerEmail: "owner@" + strings.ToLower(name) + ".example",
	})
	require.NoError(t, err)
	return resp.Workspace, resp.Owner
}

// as speaks for a user with a role in the world's workspace, through the gateway.
func (w *world) as(t *testing.T, userID int64, role actor.Role) clients {
	t.Helper()
	return w.in(t, userID, actor.Membership{WorkspaceID: w.workspace.GetId(), Role: role})
}

func (w *world) in(t *testing.T, userID int64, memberships ...actor.Membership) clients {
	t.Helper()
	return newClients(w.svc.DialActor(t, "gateway", actor.Actor{UserID: userID, Name: "Ada Byron", Memberships: memberships}))
}

// member makes a user with a role in the world's workspace.
func (w *world) member(t *testing.T, role tenancyv1.Role) *tenancyv1.Member {
	t.Helper()
	resp, err := w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.GetId(), DisplayName: "Grace", Role: role,
	})
	require.NoError(t, err)
	return resp.Member
}

// tenant makes a tenant that signs in to the simulator with sent as its secret.
func (w *world) tenant(t *testing.T, sent string) *tenancyv1.Tenant {
	t.Helper()
	resp, err := w.operator.CreateTenant(t.Context(), &tenancyv1.CreateTenantRequest{
		WorkspaceId: w.workspace.GetId(), DisplayName: "Fabrikam", DirectoryId: directory,
		ClientSecret: &tenancyv1.ClientSecret{ClientId: clientID, Secret: sent},
	})
	require.NoError(t, err)
	return resp.Tenant
}

// refused checks an error as a client sees it.
func refused(t *testing.T, err error, code codes.Code, reason string) *errs.Error {
	t.Helper()
	require.Error(t, err)
	e, ok := errs.As(err)
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, code, e.Code(), "%v", err)
	require.Equal(t, reason, e.Reason(), "%v", err)
	return e
}

// audited is the actions of the audit trail, oldest first.
func (w *world) audited(t *testing.T) []string {
	t.Helper()
	var actions []string
	require.NoError(t, w.db.Pool.QueryRow(t.Context(),
		"select array_agg(action order by id) from audit_event").Scan(&actions))
	return actions
}

// exec changes rows behind the service's back.
func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := w.db.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

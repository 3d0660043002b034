package sync_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/tenants/connect"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/sync"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	workspaceID = 3
	tenantID    = 7
	directory   = "11111111-2222-3333-4444-555555555555"
	secret      = "s3cret"
)

// world is a tenant in a simulator, a tenancy that issues tokens for it, and a
// database to sync it to.
type world struct {
	sim     *graphsim.Server
	tenant  *graphsim.Tenant
	tenancy *tenancy
	db      *pgtest.DB
	store   *store.Store
	syncer  *sync.Syncer
	runs    atomic.Int64
}

func setup(t *testing.T, counts map[string]int) *world {
	t.Helper()
	sim, err := graphsim.New(graphsim.Config{
		NoQuotas: true,
		Tenants:  []graphsim.TenantConfig{{ID: directory, ClientID: "app", ClientSecret: secret, Seed: 1, Counts: counts}},
	})
	require.NoError(t, err)
	server := httptest.NewTLSServer(sim)
	t.Cleanup(server.Close)
	w := &world{sim: sim, tenant: sim.Tenant(directory), db: pgtest.New(t, inventory.Name, inventory.Service.Migrate)}
	w.tenancy = &tenancy{url: server.URL, client: server.Client(), secret: secret}
	conn := rpctest.Serve(t, "tenancy", func(r grpc.ServiceRegistrar) {
		tenancyv1.RegisterGraphTokenServiceServer(r, w.tenancy)
	}).Dial(t, "inventory")
	cfg := graph.DefaultConfig()
	cfg.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	cfg.Retry.MaxAttempts, cfg.Limits = 2, graph.Unlimited()
	connector := connect.With(tenancyv1.NewGraphTokenServiceClient(conn), cfg)
	t.Cleanup(connector.Close)
	w.store = store.New(w.db.Pool)
	w.syncer = sync.New(w.store, connector, slog.New(slog.NewTextHandler(t.Output(), nil)))
	return w
}

// run is a new run over types, as operations would hand it to a worker.
func (w *world) run(t *testing.T, types ...string) *work.Run {
	t.Helper()
	selected, err := item.Select(types, types)
	require.NoError(t, err)
	about, err := structpb.NewStruct(selected.Context(0))
	require.NoError(t, err)
	return &work.Run{ID: 100 + w.runs.Add(1), WorkspaceID: workspaceID, TenantID: tenantID, Type: item.RunType, Context: about, Epoch: 1}
}

// sync works on a run until its end and returns its result.
func (w *world) sync(t *testing.T, r *work.Run) work.Result {
	t.Helper()
	result, err := w.syncer.Sync(t.Context(), r, func(map[string]int64) {})
	require.NoError(t, err)
	return result
}

func (w *world) items(t *testing.T, removedToo bool) []item.Item {
	t.Helper()
	items, err := w.store.Items(t.Context(), store.ItemFilter{WorkspaceID: workspaceID, TenantID: tenantID, Removed: removedToo}, page.Page[store.After]{Limit: 1000})
	require.NoError(t, err)
	return items
}

func (w *world) find(t *testing.T, externalID string) item.Item {
	t.Helper()
	for _, i := range w.items(t, true) {
		if i.ExternalID == externalID {
			return i
		}
	}
	t.Fatalf("no item %s", externalID)
	return item.Item{}
}

func (w *world) count(t *testing.T, query string) int {
	t.Helper()
	var n int
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), query).Scan(&n))
	return n
}

// tenancy is a tenancy service of one tenant, without a database: it really
// fetches tokens from the simulator's authority.
type tenancy struct {
	tenancyv1.UnsafeGraphTokenServiceServer
	url    string
	client *http.Client
	asked  atomic.Int64

	mu     stdsync.Mutex
	secret string
}

func (s *tenancy) setSecret(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}

func (s *tenancy) IssueGraphToken(ctx context.Context, _ *tenancyv1.IssueGraphTokenRequest) (*tenancyv1.IssueGraphTokenResponse, error) {
	s.asked.Add(1)
	s.mu.Lock()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {s.secret},
		"scope": {"https://graph.microsoft.com/.default"},
	}
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/"+directory+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // read to its end
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		Error       string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.AccessToken == "" {
		return nil, errs.Conflict("TENANT_AUTH", "Entra refuses the application: %s", answer.Error).With("remediation", "Enter a new client secret.")
	}
	return &tenancyv1.IssueGraphTokenResponse{
		AccessToken: answer.AccessToken, GraphUrl: s.url, DirectoryId: directory,
		ExpireTime: timestamppb.New(time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)),
	}, nil
}

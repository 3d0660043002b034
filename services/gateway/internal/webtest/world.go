// Package webtest is for the tests of the gateway's rooms: the services behind the
// gateway, small and in memory, and a client that acts as programs and browsers do.
package webtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// World is the services behind the gateway, small and in memory, behind the real gRPC
// server with its checks. Its users are members of workspace 1, which has tenant 5, and
// not of workspace 2.
type World struct {
	tenancyv1.UnimplementedIdentityServiceServer
	tenancyv1.UnimplementedWorkspaceReaderServiceServer
	tenancyv1.UnimplementedTenantReaderServiceServer
	tenancyv1.UnimplementedTenantServiceServer
	operationsv1.UnimplementedRunReaderServiceServer
	operationsv1.UnimplementedRunServiceServer
	inventoryv1.UnimplementedInventoryReaderServiceServer
	inventoryv1.UnimplementedInventoryServiceServer

	mu        sync.Mutex
	Runs      map[int64]*operationsv1.Run
	tokens    map[string]*tenancyv1.ResolveApiTokenResponse
	Customers int // how many more tenants there are
	Restarts  int // how many more events each run has

	asked    []proto.Message // the requests to the services, without those for names
	resolved int
	watchers map[chan struct{}]struct{}
	history  []*operationsv1.Run // the changes that were made
	forgot   int                 // how many resume tokens are refused
	away     bool                // watches are refused
	lagging  bool
	upTo     int
	cut      chan struct{} // closed to end every watch
}

const tenantName = `Contoso <script>alert("x")</script>`

func NewWorld() *World {
	w := &World{Runs: map[int64]*operationsv1.Run{}, tokens: map[string]*tenancyv1.ResolveApiTokenResponse{},
		watchers: map[chan struct{}]struct{}{}, cut: make(chan struct{})}
	w.user("owner", 7, map[int64]tenancyv1.Role{1: tenancyv1.Role_ROLE_OWNER})
	w.user("reader", 8, map[int64]tenancyv1.Role{1: tenancyv1.Role_ROLE_READONLY})
	w.user("both", 9, map[int64]tenancyv1.Role{1: tenancyv1.Role_ROLE_OPERATOR, 3: tenancyv1.Role_ROLE_READONLY})
	w.user("nobody", 10, nil)
	w.Runs[11] = ActiveRun(11, 1)
	w.Runs[12] = EndedRun(12, 1)
	w.Runs[22] = EndedRun(22, 2) // foreign
	return w
}

func (w *World) user(name string, id int64, roles map[int64]tenancyv1.Role) {
	r := &tenancyv1.ResolveApiTokenResponse{User: &tenancyv1.User{Id: id, DisplayName: "Robin " + name}, KeyId: "key-" + name}
	for workspace, role := range roles {
		r.Memberships = append(r.Memberships, &tenancyv1.Membership{WorkspaceId: workspace, Role: role})
	}
	w.tokens["tp_"+name] = r
}

func (w *World) Revoke(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tokens, "tp_"+name)
}

// Start is the time at which everything in the world was created.
func Start() time.Time { return time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC) }

func ActiveRun(id, workspace int64) *operationsv1.Run {
	return &operationsv1.Run{
		Id: id, WorkspaceId: workspace, TenantId: proto.Int64(5), Type: "inventory_sync", InitiatorName: "Robin owner",
		Status: operationsv1.RunStatus_RUN_STATUS_RUNNING, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_PENDING,
		SummaryCounts: map[string]int64{"total": 1240, "processed": 310, "created": 12, "updated": 3, "unchanged": 295, "failed": 0},
		CreateTime:    timestamppb.New(Start()), StartTime: timestamppb.New(Start().Add(time.Second)), Attempt: 1, MaxAttempts: 3,
		Context: &structpb.Struct{Fields: map[string]*structpb.Value{"trigger": structpb.NewStringValue("manual")}},
		Origin:  operationsv1.RunOrigin_RUN_ORIGIN_LIVE,
	}
}

func EndedRun(id, workspace int64) *operationsv1.Run {
	r := ActiveRun(id, workspace)
	r.Status, r.Outcome = operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED
	r.SummaryCounts = map[string]int64{"total": 1240, "processed": 1240, "created": 12, "updated": 3, "unchanged": 1225, "failed": 1}
	r.CompleteTime = timestamppb.New(Start().Add(95 * time.Second))
	r.FailureSummary = []*operationsv1.Failure{{
		Code: "Forbidden", Reason: operationsv1.FailureReason_FAILURE_REASON_PERMISSION, Message: `Graph refused <img src=x onerror=alert(1)>`,
		Item: "mobileApps", Remediation: "Grant DeviceManagementApps.Read.All to the app registration.", RequestId: "3b1c",
	}}
	return r
}

func (w *World) register(r grpc.ServiceRegistrar) {
	tenancyv1.RegisterIdentityServiceServer(r, w)
	tenancyv1.RegisterWorkspaceReaderServiceServer(r, w)
	tenancyv1.RegisterTenantReaderServiceServer(r, w)
	tenancyv1.RegisterTenantServiceServer(r, w)
	operationsv1.RegisterRunReaderServiceServer(r, w)
	operationsv1.RegisterRunServiceServer(r, w)
	inventoryv1.RegisterInventoryReaderServiceServer(r, w)
	inventoryv1.RegisterInventoryServiceServer(r, w)
}

func (w *World) heard(m proto.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, m)
}

// Last returns the latest request that the services got.
func (w *World) Last() proto.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asked) == 0 {
		return nil
	}
	return w.asked[len(w.asked)-1]
}

func (w *World) Calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// Resolved returns how often a token was resolved.
func (w *World) Resolved() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resolved
}

func (w *World) ResolveApiToken(_ context.Context, r *tenancyv1.ResolveApiTokenRequest) (*tenancyv1.ResolveApiTokenResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resolved++
	if known, ok := w.tokens[r.GetToken()]; ok {
		return known, nil
	}
	return nil, errs.Unauthenticated("TOKEN_INVALID", "the token is unknown, expired or revoked")
}

func (w *World) ListWorkspaces(ctx context.Context, _ *tenancyv1.ListWorkspacesRequest) (*tenancyv1.ListWorkspacesResponse, error) {
	a, _ := actor.From(ctx)
	answer := &tenancyv1.ListWorkspacesResponse{}
	for _, m := range a.Memberships {
		answer.Workspaces = append(answer.Workspaces, &tenancyv1.Workspace{Id: m.WorkspaceID, DisplayName: fmt.Sprintf("Workspace %d", m.WorkspaceID)})
	}
	return answer, nil
}

func (w *World) GetWorkspace(_ context.Context, r *tenancyv1.GetWorkspaceRequest) (*tenancyv1.GetWorkspaceResponse, error) {
	w.heard(r)
	return &tenancyv1.GetWorkspaceResponse{Workspace: &tenancyv1.Workspace{Id: r.GetWorkspaceId(), DisplayName: "Workspace 1"}}, nil
}

func (w *World) ListTenants(_ context.Context, r *tenancyv1.ListTenantsRequest) (*tenancyv1.ListTenantsResponse, error) {
	tenants := []*tenancyv1.Tenant{{Id: 5, WorkspaceId: r.GetWorkspaceId(), DisplayName: tenantName}}
	for n := range w.Customers {
		tenants = append(tenants, &tenancyv1.Tenant{Id: int64(1000 + n), WorkspaceId: r.GetWorkspaceId(), DisplayName: fmt.Sprintf("Customer %d", n)})
	}
	answer := &tenancyv1.ListTenantsResponse{}
	answer.Tenants, answer.NextPageToken = onePage(tenants, r.GetPageToken(), r.GetPageSize())
	return answer, nil
}

// onePage returns the rows of one page and the token of the next. A token is an offset.
func onePage[T any](all []T, token string, size int32) ([]T, string) {
	from, _ := strconv.Atoi(token)
	if rest := all[from:]; len(rest) > int(size) {
		return rest[:size], strconv.Itoa(from + int(size))
	}
	return all[from:], ""
}

func (w *World) GetTenant(_ context.Context, r *tenancyv1.GetTenantRequest) (*tenancyv1.GetTenantResponse, error) {
	w.heard(r)
	if r.GetTenantId() != 5 {
		return nil, errs.NotFound("tenant")
	}
	return &tenancyv1.GetTenantResponse{Tenant: &tenancyv1.Tenant{Id: 5, WorkspaceId: r.GetWorkspaceId(), DisplayName: tenantName}}, nil
}

func (w *World) CreateTenant(_ context.Context, r *tenancyv1.CreateTenantRequest) (*tenancyv1.CreateTenantResponse, error) {
	w.heard(r)
	return nil, errs.Exists("TENANT_EXISTS", "the workspace has this tenant already").With("tenant_id", "5")
}

func (w *World) run(ctx context.Context, id int64) (*operationsv1.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	run, ok := w.Runs[id]
	if !ok {
		return nil, errs.NotFound("run")
	}
	run, _ = proto.Clone(run).(*operationsv1.Run)
	return run, rpc.Authorize(ctx, run.GetWorkspaceId())
}

func (w *World) GetRun(ctx context.Context, r *operationsv1.GetRunRequest) (*operationsv1.GetRunResponse, error) {
	w.heard(r)
	run, err := w.run(ctx, r.GetRunId())
	if err != nil {
		return nil, err
	}
	return &operationsv1.GetRunResponse{Run: run}, nil
}

func (w *World) ListRuns(_ context.Context, r *operationsv1.ListRunsRequest) (*operationsv1.ListRunsResponse, error) {
	w.heard(r)
	if strings.HasPrefix(r.GetPageToken(), "bad") {
		return nil, errs.Invalid("page_token", "is not one of ours").WithReason("INVALID_PAGE_TOKEN")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	answer := &operationsv1.ListRunsResponse{NextPageToken: "next"}
	for _, id := range []int64{12, 11} {
		run, _ := proto.Clone(w.Runs[id]).(*operationsv1.Run)
		answer.Runs = append(answer.Runs, run)
	}
	return answer, nil
}

func (w *World) ListRunEvents(ctx context.Context, r *operationsv1.ListRunEventsRequest) (*operationsv1.ListRunEventsResponse, error) {
	run, err := w.run(ctx, r.GetRunId())
	if err != nil {
		return nil, err
	}
	events := []*operationsv1.RunEvent{
		{RunId: run.GetId(), Sequence: 1, EventTime: timestamppb.New(Start()), Kind: "created", Actor: "Robin owner"},
		{RunId: run.GetId(), Sequence: 2, EventTime: timestamppb.New(Start().Add(time.Second)), Kind: "begun", Actor: "inventory", Attempt: 1},
	}
	if !words.Active(run) {
		events = append(events, &operationsv1.RunEvent{RunId: run.GetId(), Sequence: 3, EventTime: run.GetCompleteTime(), Kind: "completed", Actor: "inventory", Outcome: run.GetOutcome()})
	}
	for range w.Restarts {
		n := int32(len(events) + 1)
		events = append(events, &operationsv1.RunEvent{RunId: run.GetId(), Sequence: n, EventTime: timestamppb.New(Start()), Kind: "begun", Actor: "inventory", Attempt: n})
	}
	answer := &operationsv1.ListRunEventsResponse{}
	answer.Events, answer.NextPageToken = onePage(events, r.GetPageToken(), r.GetPageSize())
	return answer, nil
}

func (w *World) ListRunTypes(context.Context, *operationsv1.ListRunTypesRequest) (*operationsv1.ListRunTypesResponse, error) {
	return &operationsv1.ListRunTypesResponse{RunTypes: []*operationsv1.RunType{
		{Type: "drift_generate_findings", Label: "Drift check"}, {Type: "inventory_sync", Label: "Inventory sync"},
	}}, nil
}

func (w *World) CancelRun(ctx context.Context, r *operationsv1.CancelRunRequest) (*operationsv1.CancelRunResponse, error) {
	w.heard(r)
	if _, err := w.run(ctx, r.GetRunId()); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	run := w.Runs[r.GetRunId()]
	if words.Active(run) {
		run.CancelRequestTime, run.CancelRequestedBy, run.CancelReason = timestamppb.New(Start()), "Robin owner", r.GetReason()
	}
	return &operationsv1.CancelRunResponse{Run: run}, nil
}

func (w *World) StartSync(_ context.Context, r *inventoryv1.StartSyncRequest) (*inventoryv1.StartSyncResponse, error) {
	w.heard(r)
	if r.GetTenantId() != 5 {
		return nil, errs.NotFound("tenant")
	}
	return &inventoryv1.StartSyncResponse{Run: ActiveRun(11, 1), Started: true}, nil
}

func (w *World) GetCoverage(context.Context, *inventoryv1.GetCoverageRequest) (*inventoryv1.GetCoverageResponse, error) {
	end := timestamppb.New(Start().Add(time.Minute))
	return &inventoryv1.GetCoverageResponse{Coverage: []*inventoryv1.Coverage{
		{Type: "configurationPolicies", Complete: true, ListedCount: 840, ReadCount: 840, CreatedCount: 12, UpdatedCount: 3, UnchangedCount: 825, EndTime: end},
		{Type: "mobileApps", ListedCount: 400, ReadCount: 399, FailedCount: 1, UnchangedCount: 399, Reason: operationsv1.FailureReason_FAILURE_REASON_PERMISSION, Message: "1 of 400 could not be read", EndTime: end},
	}}, nil
}

// Serve runs the world. It returns it as the services with these names, all on one
// connection, and a signer whose tokens it accepts.
func (w *World) Serve(t *testing.T, names ...string) (web.Backends, *actor.Signer) {
	t.Helper()
	conn, signer := connect(t, w)
	var backends web.Backends
	for _, name := range names {
		backends = append(backends, web.Backend{Name: name, Conn: conn})
	}
	return backends, signer
}

// NewSite returns a site over a new world. It has no routes yet.
func NewSite(t *testing.T, pages web.Pages, more ...func(*web.Config)) (*web.Site, web.Backends, *World) {
	t.Helper()
	w := NewWorld()
	backends, signer := w.Serve(t, "operations", "tenancy", "inventory")
	cfg := web.Config{
		Backends: backends, Pages: pages, Signer: signer, Rate: 1000, Burst: 1000, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range more {
		f(&cfg)
	}
	site, err := web.New(cfg)
	Must(t, err)
	return site, backends, w
}

// connect runs the world on one server with mutual TLS and connects to it as the gateway.
func connect(t *testing.T, w *World) (*grpc.ClientConn, *actor.Signer) {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ca, err := devca.Open(dir)
	Must(t, err)
	Must(t, ca.Issue("world"))
	Must(t, ca.Issue("gateway"))
	Must(t, devca.ActorKey(dir))
	signer, err := actor.NewSigner(filepath.Join(dir, "actor-key.pem"))
	Must(t, err)
	srv, err := rpc.NewServer("world", rpc.ServerConfig{
		TLSCert: ca.CertFile("world"), TLSKey: ca.KeyFile("world"), TLSCA: ca.RootFile(),
		ActorKeys: []string{filepath.Join(dir, "actor-pub.pem")},
	}, log)
	Must(t, err)
	w.register(srv.Registrar())
	pipe := bufconn.Listen(1 << 20)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeOn(ctx, pipe, nil) }()
	conn, err := rpc.Dial("passthrough:///world", "world", rpc.ClientConfig{
		TLSCert: ca.CertFile("gateway"), TLSKey: ca.KeyFile("gateway"), TLSCA: ca.RootFile(),
	}, log, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	Must(t, err)
	t.Cleanup(func() {
		conn.Close()
		stop()
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
			t.Error(err)
		}
	})
	return conn, signer
}

func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ImportedRun returns a run of an older TenantPilot, as the takeover writes it.
func ImportedRun(t *testing.T, id int64, context map[string]any) *operationsv1.Run {
	t.Helper()
	r := EndedRun(id, 1)
	r.Type, r.Origin, r.Attempt, r.MaxAttempts = "backup_schedule_run", operationsv1.RunOrigin_RUN_ORIGIN_LEGACY, 0, 1
	r.SummaryCounts = map[string]int64{"total": 12, "succeeded": 11, "failed": 1}
	var err error
	r.Context, err = structpb.NewStruct(context)
	Must(t, err)
	return r
}

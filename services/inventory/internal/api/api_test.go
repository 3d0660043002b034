package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/tenants"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"
	"github.com/tenantpilot/tenantpilot/services/inventory"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/api"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	workspaceID = 3
	tenantID    = 7
	elsewhere   = 4 // a workspace of others
)

// oneTenant is a tenancy that knows one tenant.
type oneTenant struct {
	tenancyv1.UnimplementedTenantReaderServiceServer
}

func (oneTenant) GetTenant(_ context.Context, req *tenancyv1.GetTenantRequest) (*tenancyv1.GetTenantResponse, error) {
	if req.GetWorkspaceId() != workspaceID || req.GetTenantId() != tenantID {
		return nil, errs.NotFound("tenant")
	}
	return &tenancyv1.GetTenantResponse{}, nil
}

type world struct {
	store  *store.Store
	runs   *worktest.Store
	ops    *rpctest.Service // operations, with runs behind it
	server *rpctest.Service
	reader inventoryv1.InventoryReaderServiceClient // as a platform operator
	writer inventoryv1.InventoryServiceClient
}

func setup(t *testing.T) *world {
	t.Helper()
	db := pgtest.New(t, inventory.Name, inventory.Service.Migrate)
	w := &world{store: store.New(db.Pool), runs: worktest.New(worktest.Options{})}
	w.ops = rpctest.Serve(t, "operations", w.runs.Register)
	operations := w.ops.Dial(t, "inventory")
	tenancy := rpctest.Serve(t, "tenancy", func(r grpc.ServiceRegistrar) { tenancyv1.RegisterTenantReaderServiceServer(r, oneTenant{}) })
	worker, err := work.New(work.Config{
		Settings: work.Settings{Workers: 1, Heartbeat: time.Second, Sweep: time.Second}, Service: "inventory", Pool: db.Pool, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Operations: operations,
		Jobs:       map[string]work.Job{"inventory_sync": func(context.Context, *work.Run) (work.Result, error) { return work.Result{}, nil }},
	})
	require.NoError(t, err)
	pages, err := page.NewSealer(page.RandomKey())
	require.NoError(t, err)
	known := tenants.New(tenancy.Dial(t, "inventory", grpc.WithChainUnaryInterceptor(forItself)))
	w.server = rpctest.Serve(t, "inventory", func(r grpc.ServiceRegistrar) {
		api.Register(r, api.Config{
			Store: w.store, Schedules: schedule.New[item.Repeated](db.Pool, "sync schedule"), Worker: worker, Runs: operationsv1.NewRunReaderServiceClient(operations), Tenants: known,
			Pages: pages, Types: []string{"a", "b"},
		})
	})
	conn := w.server.Dial(t, "operator")
	w.reader, w.writer = inventoryv1.NewInventoryReaderServiceClient(conn), inventoryv1.NewInventoryServiceClient(conn)
	return w
}

// forItself leaves the end user out of a call: each service in memory believes
// a gateway of its own.
func forItself(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(metadata.NewOutgoingContext(ctx, nil), method, req, reply, conn, opts...)
}

// fill stores objects of a type as a complete read of a run.
func (w *world) fill(t *testing.T, run int64, typ string, ids ...string) {
	t.Helper()
	r, err := w.store.BeginRead(t.Context(), item.Read{WorkspaceID: workspaceID, TenantID: tenantID, Type: typ, RunID: run, Epoch: 1})
	require.NoError(t, err)
	batch := make([]item.Seen, len(ids))
	for i, id := range ids {
		batch[i] = item.Seen{
			ExternalID: id, DisplayName: "name of " + id, Hash: [32]byte{byte(run)}, Payload: []byte("{ \"id\":1.0 }"),
			Elements: []item.Element{{Collection: "settings", Payload: []byte("{}")}},
		}
	}
	counts, err := w.store.Write(t.Context(), r, 1, batch)
	require.NoError(t, err)
	_, err = w.store.EndRead(t.Context(), item.Coverage{Read: r, Counts: counts, Complete: true})
	require.NoError(t, err)
}

// refused asserts the code, and the field where one is named.
func refused(t *testing.T, err error, code codes.Code, field string) {
	t.Helper()
	e, ok := errs.As(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, code, e.Code(), "%v", err)
	if field != "" {
		require.NotEmpty(t, e.Fields())
		require.Equal(t, field, e.Fields()[0].Path)
	}
}

func TestStartSync(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first, err := w.writer.StartSync(t.Context(), &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID, Types: []string{"b", "a"}, RequestId: "r1"})
	require.NoError(t, err)
	require.True(t, first.GetStarted())
	all, err := w.writer.StartSync(t.Context(), &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID})
	require.NoError(t, err)
	require.False(t, all.GetStarted(), "no types are all types")
	require.Equal(t, first.GetRun().GetId(), all.GetRun().GetId())
	some, err := w.writer.StartSync(t.Context(), &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID, Types: []string{"a"}})
	require.NoError(t, err)
	require.True(t, some.GetStarted())

	asked := w.runs.Requests()[0]
	require.Equal(t, "r1", asked.GetRequestId())
	require.Equal(t, "inventory_sync", asked.GetType())
	require.Equal(t, item.Selection{"a", "b"}.Hash(), asked.GetIdentityInputs())
	require.Equal(t, asked.GetIdentityInputs(), asked.GetContext().GetFields()["inputs"].GetStructValue().GetFields()["selection_hash"].GetStringValue())
}

func TestALostReplyStartsNoSecondSync(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ops.LoseReply(1, "StartRun")
	got, err := w.writer.StartSync(t.Context(), &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID})
	require.NoError(t, err)
	require.True(t, got.GetStarted(), "it was this call that started it")
	require.Equal(t, 1, w.runs.Runs())
}

func TestStartSyncRefuses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tests := map[string]struct {
		req   *inventoryv1.StartSyncRequest
		code  codes.Code
		field string
	}{
		"an unknown type":         {req: &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID, Types: []string{"a", "x"}}, code: codes.InvalidArgument, field: "types[1]"},
		"a type twice":            {req: &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID, Types: []string{"a", "a"}}, code: codes.InvalidArgument, field: "types"},
		"no tenant":               {req: &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID}, code: codes.InvalidArgument, field: "tenant_id"},
		"an unknown tenant":       {req: &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: 99}, code: codes.NotFound},
		"a tenant of others":      {req: &inventoryv1.StartSyncRequest{WorkspaceId: elsewhere, TenantId: tenantID}, code: codes.NotFound},
		"a request id of a novel": {req: &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID, RequestId: string(make([]byte, 129))}, code: codes.InvalidArgument, field: "request_id"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.writer.StartSync(t.Context(), tt.req)
			refused(t, err, tt.code, tt.field)
		})
	}
	t.Cleanup(func() { require.Zero(t, w.runs.Runs()) })
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.fill(t, 1, "a", "1")
	as := func(role actor.Role, workspace int64) (inventoryv1.InventoryReaderServiceClient, inventoryv1.InventoryServiceClient) {
		conn := w.server.DialActor(t, "gateway", actor.Actor{UserID: 1, Memberships: []actor.Membership{{WorkspaceID: workspace, Role: role}}})
		return inventoryv1.NewInventoryReaderServiceClient(conn), inventoryv1.NewInventoryServiceClient(conn)
	}
	read, start := &inventoryv1.GetItemRequest{WorkspaceId: workspaceID, ItemId: 1}, &inventoryv1.StartSyncRequest{WorkspaceId: workspaceID, TenantId: tenantID}

	reader, writer := as(actor.Readonly, workspaceID)
	_, err := reader.GetItem(t.Context(), read)
	require.NoError(t, err)
	_, err = writer.StartSync(t.Context(), start)
	refused(t, err, codes.PermissionDenied, "")

	stranger, _ := as(actor.Owner, elsewhere)
	_, foreign := stranger.GetItem(t.Context(), read)
	refused(t, foreign, codes.NotFound, "")
	_, missing := reader.GetItem(t.Context(), &inventoryv1.GetItemRequest{WorkspaceId: workspaceID, ItemId: 99})
	refused(t, missing, codes.NotFound, "")
	require.Equal(t, missing.Error(), foreign.Error(), "the same words")
	_, moved := stranger.GetItem(t.Context(), &inventoryv1.GetItemRequest{WorkspaceId: elsewhere, ItemId: 1})
	require.Equal(t, missing.Error(), moved.Error(), "an id is no access control")

	_, err = inventoryv1.NewInventoryServiceClient(w.server.Dial(t, "restore")).StartSync(t.Context(), start)
	refused(t, err, codes.PermissionDenied, "")
}

func TestItemsArePagedByTypeAndId(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.fill(t, 1, "b", "2", "1", "3")
	w.fill(t, 1, "a", "9", "8")
	var got []string
	req := &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, PageSize: 2}
	for {
		resp, err := w.reader.ListItems(t.Context(), req)
		require.NoError(t, err)
		for _, i := range resp.GetItems() {
			got = append(got, i.GetType()+i.GetExternalId())
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	require.Equal(t, []string{"a8", "a9", "b1", "b2", "b3"}, got)

	only, err := w.reader.ListItems(t.Context(), &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, Type: "b"})
	require.NoError(t, err)
	require.Len(t, only.GetItems(), 3)
	w.fill(t, 2, "b", "1")
	only, err = w.reader.ListItems(t.Context(), &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, Type: "b"})
	require.NoError(t, err)
	require.Len(t, only.GetItems(), 1)
	every, err := w.reader.ListItems(t.Context(), &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, Type: "b", ShowRemoved: true})
	require.NoError(t, err)
	require.Len(t, every.GetItems(), 3)
	require.NotNil(t, every.GetItems()[1].GetRemoveTime())
}

func TestListsRefuse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.fill(t, 1, "a", "1", "2", "3")
	page, err := w.reader.ListItems(t.Context(), &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, PageSize: 1})
	require.NoError(t, err)
	token := page.GetNextPageToken()
	tests := map[string]struct {
		req   *inventoryv1.ListItemsRequest
		code  codes.Code
		field string
	}{
		"a token tampered with":     {req: &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, PageToken: token[:len(token)-2] + "AA"}, code: codes.InvalidArgument, field: "page_token"},
		"no token at all":           {req: &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, PageToken: "x"}, code: codes.InvalidArgument, field: "page_token"},
		"a token of another filter": {req: &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, ShowRemoved: true, PageToken: token}, code: codes.InvalidArgument, field: "page_token"},
		"a negative size":           {req: &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, PageSize: -1}, code: codes.InvalidArgument, field: "page_size"},
		"an unknown type":           {req: &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: tenantID, Type: "x"}, code: codes.InvalidArgument, field: "type"},
		"an unknown tenant":         {req: &inventoryv1.ListItemsRequest{WorkspaceId: workspaceID, TenantId: 99}, code: codes.NotFound},
		"another workspace":         {req: &inventoryv1.ListItemsRequest{WorkspaceId: elsewhere, TenantId: tenantID}, code: codes.NotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.reader.ListItems(t.Context(), tt.req)
			refused(t, err, tt.code, tt.field)
		})
	}
}

func TestAnItemWithItsVersions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for run := range int64(3) {
		w.fill(t, run+1, "a", "1")
	}
	got, err := w.reader.GetItem(t.Context(), &inventoryv1.GetItemRequest{WorkspaceId: workspaceID, ItemId: 1})
	require.NoError(t, err)
	require.EqualValues(t, 3, got.GetItem().GetVersion())
	require.Equal(t, "{ \"id\":1.0 }", string(got.GetVersion().GetPayload()))
	require.Equal(t, "settings", got.GetVersion().GetElements()[0].GetCollection())
	require.Equal(t, got.GetItem().GetCanonicalHash(), got.GetVersion().GetCanonicalHash())

	first, err := w.reader.ListVersions(t.Context(), &inventoryv1.ListVersionsRequest{WorkspaceId: workspaceID, ItemId: 1, PageSize: 2})
	require.NoError(t, err)
	require.EqualValues(t, 3, first.GetVersions()[0].GetVersion())
	require.Empty(t, first.GetVersions()[0].GetPayload())
	rest, err := w.reader.ListVersions(t.Context(), &inventoryv1.ListVersionsRequest{WorkspaceId: workspaceID, ItemId: 1, PageSize: 2, PageToken: first.GetNextPageToken()})
	require.NoError(t, err)
	require.Len(t, rest.GetVersions(), 1)
	require.EqualValues(t, 1, rest.GetVersions()[0].GetVersion())
	_, err = w.reader.ListVersions(t.Context(), &inventoryv1.ListVersionsRequest{WorkspaceId: elsewhere, ItemId: 1})
	refused(t, err, codes.NotFound, "")
}

// A policy may be larger than a request: an export of its own icon, a long script.
func TestALargeItemIsAnswered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r, err := w.store.BeginRead(t.Context(), item.Read{WorkspaceID: workspaceID, TenantID: tenantID, Type: "a", RunID: 1, Epoch: 1})
	require.NoError(t, err)
	large := bytes.Repeat([]byte("x"), 6<<20)
	_, err = w.store.Write(t.Context(), r, 1, []item.Seen{{ExternalID: "1", Payload: large}})
	require.NoError(t, err)
	got, err := w.reader.GetItem(t.Context(), &inventoryv1.GetItemRequest{WorkspaceId: workspaceID, ItemId: 1})
	require.NoError(t, err)
	require.Len(t, got.GetVersion().GetPayload(), len(large))
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.fill(t, 1, "a", "1")
	w.fill(t, 1, "b", "1", "2")
	w.fill(t, 2, "a", "1")
	latest, err := w.reader.GetCoverage(t.Context(), &inventoryv1.GetCoverageRequest{WorkspaceId: workspaceID, TenantId: tenantID})
	require.NoError(t, err)
	require.Len(t, latest.GetCoverage(), 2)
	require.EqualValues(t, 2, latest.GetCoverage()[0].GetOperationRunId())
	require.EqualValues(t, 2, latest.GetCoverage()[1].GetReadCount())
	run := int64(1)
	of, err := w.reader.GetCoverage(t.Context(), &inventoryv1.GetCoverageRequest{WorkspaceId: workspaceID, TenantId: tenantID, RunId: &run})
	require.NoError(t, err)
	require.Len(t, of.GetCoverage(), 2)
	require.EqualValues(t, 1, of.GetCoverage()[0].GetOperationRunId())
	types, err := w.reader.ListPolicyTypes(t.Context(), &inventoryv1.ListPolicyTypesRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, types.GetTypes())
}

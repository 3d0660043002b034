package tenants

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// tenancy knows the tenants with odd ids, and counts who asks.
type tenancy struct {
	tenancyv1.UnimplementedTenantReaderServiceServer
	asked atomic.Int32
}

func (s *tenancy) GetTenant(_ context.Context, req *tenancyv1.GetTenantRequest) (*tenancyv1.GetTenantResponse, error) {
	s.asked.Add(1)
	if req.GetTenantId()%2 == 0 {
		return nil, errs.NotFound("tenant")
	}
	return &tenancyv1.GetTenantResponse{}, nil
}

func TestATenantIsBelievedInForAWhile(t *testing.T) {
	t.Parallel()
	s, now := &tenancy{}, time.Now()
	service := rpctest.Serve(t, "tenancy", func(r grpc.ServiceRegistrar) { tenancyv1.RegisterTenantReaderServiceServer(r, s) })
	c := New(service.Dial(t, "inventory"))
	c.now = func() time.Time { return now }
	asks := func(n int32, ask func(context.Context, int64, int64) error, workspaceID, id int64) error {
		t.Helper()
		before := s.asked.Load()
		err := ask(t.Context(), workspaceID, id)
		require.Equal(t, n, s.asked.Load()-before)
		return err
	}
	require.NoError(t, asks(1, c.Exists, 3, 7))
	require.NoError(t, asks(0, c.Exists, 3, 7))
	require.NoError(t, asks(1, c.Exists, 4, 7), "a tenant of another workspace is another one")
	require.NoError(t, asks(1, c.ExistsNow, 3, 7))
	now = now.Add(believed)
	require.NoError(t, asks(1, c.Exists, 3, 7))
	for range 2 {
		require.Equal(t, codes.NotFound, errs.Code(asks(1, c.Exists, 3, 8)), "that there is none is not remembered")
	}
}

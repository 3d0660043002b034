package connect_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/tenants/connect"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// tenancy issues the tokens 1, 2, …, or fails with the next of its errors.
type tenancy struct {
	tenancyv1.UnimplementedGraphTokenServiceServer
	mu     sync.Mutex
	fail   []error
	issued int
	forced int
}

func (s *tenancy) IssueGraphToken(_ context.Context, req *tenancyv1.IssueGraphTokenRequest) (*tenancyv1.IssueGraphTokenResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		return nil, err
	}
	s.issued++
	if req.GetForceRefresh() {
		s.forced++
	}
	return &tenancyv1.IssueGraphTokenResponse{
		AccessToken: string(rune('0' + s.issued)), GraphUrl: "https://graph.example", ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
	}, nil
}

func setup(t *testing.T, fail ...error) (*tenancy, *connect.Connector) {
	t.Helper()
	s := &tenancy{fail: fail}
	service := rpctest.Serve(t, "tenancy", func(r grpc.ServiceRegistrar) { tenancyv1.RegisterGraphTokenServiceServer(r, s) })
	c := connect.With(tenancyv1.NewGraphTokenServiceClient(service.Dial(t, "inventory", grpc.WithDisableRetry())), graph.DefaultConfig())
	t.Cleanup(c.Close)
	return s, c
}

func TestTheFirstTokenIsUsed(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	_, cred, err := c.Connect(t.Context(), 3, 7)
	require.NoError(t, err)
	for i, want := range []string{"1", "2", "3"} {
		token, err := cred.Token(t.Context(), i == 2)
		require.NoError(t, err)
		require.Equal(t, want, token.Value, "one token is issued to connect, and the client gets it")
	}
	require.Equal(t, 1, s.forced)
}

func TestATokenIsWaitedForWhileTenancyIsAway(t *testing.T) {
	t.Parallel()
	_, c := setup(t, errs.Unavailable("OFF", "away"), errs.Unavailable("OFF", "away"))
	_, _, err := c.Connect(t.Context(), 3, 7)
	require.NoError(t, err)
}

func TestAJobThatEndsWaitsNoLonger(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	away := make([]error, 100)
	for i := range away {
		away[i] = errs.Unavailable("OFF", "away")
	}
	_, c := setup(t, away...)
	time.AfterFunc(10*time.Millisecond, func() { cancel(work.ErrShutdown) })
	_, _, err := c.Connect(ctx, 3, 7)
	require.Error(t, err)
}

func TestWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	refusal := errs.Conflict("TENANT_AUTH", "the secret has expired").With("code", "AADSTS7000222").With("remediation", "renew it")
	tests := map[string]struct {
		err error
		f   work.Failure
	}{
		"the tenant refuses":   {refusal, work.Failure{Reason: work.Reason("tenant_auth"), Code: "AADSTS7000222", Message: "the secret has expired", Remediation: "renew it"}},
		"the tenant was ended": {errs.NotFound("tenant"), work.Failure{Reason: work.Reason("validation"), Message: "the tenant no longer exists"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, c := setup(t, tt.err)
			_, _, err := c.Connect(t.Context(), 3, 7)
			f, ok := errors.AsType[*work.Failure](err)
			require.True(t, ok, "%v", err)
			got := *f
			got.Cause = nil
			require.Equal(t, tt.f, got)
		})
	}
	_, c := setup(t, errs.Denied("NOT_YOURS", "no"))
	_, _, err := c.Connect(t.Context(), 3, 7)
	require.Equal(t, codes.PermissionDenied, errs.Code(err), "what is our own fault is no failure of the tenant")
}

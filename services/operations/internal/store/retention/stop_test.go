package retention_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// A pass ends at once with its context, wherever it is, also beside another.
func TestAPassEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	s := retention.New(db.Pool, run.DefaultTypes())
	for i := range 10 {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for range 2 {
			go func() {
				var err error
				for err == nil && ctx.Err() == nil {
					_, err = s.Remove(ctx, db.OwnerURL)
				}
				if ctx.Err() == nil {
					t.Errorf("pass: %v", err)
				}
				ended <- struct{}{}
			}()
		}
		if i%2 == 0 { // otherwise it is stopped in the middle of anything
			require.Eventually(t, func() bool {
				done, err := s.Status(t.Context())
				return err == nil && len(done) == len(run.DefaultTypes())
			}, 30*time.Second, time.Millisecond)
		}
		stop()
		<-ended
		<-ended
	}
}

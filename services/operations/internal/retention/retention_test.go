package retention_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

func TestTheLoopEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Migrate)
	s := store.New(db.Pool, run.DefaultTypes())
	for i := range 10 {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for range 2 {
			go func() {
				retention.Run(ctx, s, db.OwnerURL, time.Millisecond, slog.New(slog.DiscardHandler))
				ended <- struct{}{}
			}()
		}
		if i%2 == 0 { // and else in the middle of anything
			require.Eventually(t, func() bool {
				done, err := s.Retention(t.Context())
				return err == nil && len(done) == len(run.DefaultTypes())
			}, 30*time.Second, time.Millisecond)
		}
		stop()
		<-ended
		<-ended
	}
}

func TestWithoutAnOwnerItIsOffAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	retention.Run(t.Context(), nil, "", time.Millisecond, slog.New(slog.NewTextHandler(&said, nil)))
	require.Equal(t, 1, strings.Count(said.String(), "retention is off"))
}

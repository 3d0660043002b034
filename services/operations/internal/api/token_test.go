package api

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
)

// A token that was good once is told from one that never was: who holds it can
// only begin anew, and has done nothing wrong.
func TestAResumeTokenIsTooOldAfterADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pages, err := page.NewSealer(page.RandomKey())
		require.NoError(t, err)
		s := resumption{pages: pages, binding: "this watch"}
		token, err := s.seal(snapshot.Position{ID: 7})
		require.NoError(t, err)
		<-time.After(23 * time.Hour)
		at, err := s.open(token)
		require.NoError(t, err)
		require.EqualValues(t, 7, at.ID)
		<-time.After(2 * time.Hour)
		_, err = s.open(token)
		require.Equal(t, codes.OutOfRange, errs.Code(err))
		require.Equal(t, "RESUME_TOKEN_TOO_OLD", errs.Reason(err))
	})
}

package rpctest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func TestMain(m *testing.M) { VerifyNoLeaks(m) }

func TestAFaultStrikesOnItsCallAndNoOther(t *testing.T) {
	t.Parallel()
	var s Service
	boom := errors.New("boom")
	s.FailCall(2, "Start", boom)
	s.LoseReply(3, "Start")
	for call, want := range []struct{ before, after bool }{{}, {before: true}, {after: true}, {}} {
		before, after := s.faults.strike("/p.S/Other")
		require.NoError(t, errors.Join(before, after), "another method is not counted")
		before, after = s.faults.strike("/p.S/Start")
		require.Equal(t, want.before, errors.Is(before, boom), call)
		require.Equal(t, want.after, errs.Code(after) == codes.Unavailable, call)
	}
}

package run

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func TestRoomInTheQueue(t *testing.T) {
	t.Parallel()
	s := Start{WorkspaceID: 7}
	require.NoError(t, s.CheckRoom(4999, 5000))
	err := s.CheckRoom(5000, 5000)
	require.Equal(t, codes.ResourceExhausted, errs.Code(err))
	require.Equal(t, ReasonQueueFull, errs.Reason(err))
	require.ErrorContains(t, err, "workspace 7 has 5000 queued runs and may have 5000")
	require.Error(t, s.CheckRoom(6000, 5000), "the limit was lowered")
	s.Holder = "one"
	require.NoError(t, s.CheckRoom(5000, 5000), "it begins at once")
}

func TestAhead(t *testing.T) {
	t.Parallel()
	flood := func(workspace, tenant int64, n int) []Waiting {
		runs := make([]Waiting, n)
		for i := range runs {
			runs[i] = Waiting{ID: 1000*workspace + 100*tenant + int64(i), WorkspaceID: workspace, TenantID: tenant}
		}
		return runs
	}
	queue := append(append(flood(1, 1, 50), flood(1, 2, 3)...), flood(2, 1, 5)...)
	for what, tt := range map[string]struct {
		id   int64
		want int
	}{
		"the first of the flood":         {1100, 0},
		"the first of another workspace": {2100, 0},
		"the first of another tenant":    {1200, 0},
		"the second of its tenant":       {1101, 1 + 1 + 2},
		"the fifth of its workspace":     {2104, 4 + 4},
		"the last of the flood":          {1149, 49 + 3 + 5},
	} {
		require.Equal(t, tt.want, Ahead(tt.id, queue), what)
	}
}

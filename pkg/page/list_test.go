package page_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
)

type asked struct {
	size  int32
	token string
}

func (a asked) GetPageSize() int32   { return a.size }
func (a asked) GetPageToken() string { return a.token }

// after returns page p of a store with the rows 1 to n.
func after(p page.Page[int], n int) (rows []int) {
	for i := p.After + 1; i <= n && len(rows) < p.Limit; i++ {
		rows = append(rows, i)
	}
	return rows
}

func TestAListIsReadPageByPage(t *testing.T) {
	t.Parallel()
	s := sealer(t)
	for _, n := range []int{0, 1, 2, 3, 4} {
		var got []string
		var pages int
		for req := (asked{size: 2}); ; pages++ {
			l, err := page.Begin[int](s, req, "numbers %d", n)
			require.NoError(t, err)
			messages, next, err := page.Finish(l, after(l.Page, n), func(i int) int { return i }, strconv.Itoa)
			require.NoError(t, err)
			require.LessOrEqual(t, len(messages), 2)
			got = append(got, messages...)
			if req.token = next; next == "" {
				break
			}
		}
		require.Len(t, got, n)
		require.Equal(t, max(0, (n-1)/2), pages, "no empty page at the end")
	}
}

func TestABadListRequestIsRefused(t *testing.T) {
	t.Parallel()
	s := sealer(t)
	token, err := s.Seal("numbers 1", 1)
	require.NoError(t, err)
	for _, req := range []asked{{size: -1}, {token: "x"}, {token: token}} {
		_, err := page.Begin[int](s, req, "numbers %d", 2)
		require.Equal(t, codes.InvalidArgument, errs.Code(err))
	}
}

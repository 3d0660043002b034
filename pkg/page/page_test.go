package page_test

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
)

type cursor struct {
	At time.Time
	ID int64
}

func sealer(t *testing.T) *page.Sealer {
	t.Helper()
	s, err := page.NewSealer(page.RandomKey())
	require.NoError(t, err)
	return s
}

func TestATokenOpensToItsCursor(t *testing.T) {
	t.Parallel()
	s, want := sealer(t), cursor{At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), ID: math.MaxInt64}
	token, err := s.Seal("w=1 f=x", want)
	require.NoError(t, err)
	var got cursor
	require.NoError(t, s.Open(token, "w=1 f=x", &got))
	require.Equal(t, want, got)
	again, err := s.Seal("w=1 f=x", want)
	require.NoError(t, err)
	require.NotEqual(t, token, again, "equal cursors must not be seen to be equal")
}

func TestATokenOfAnotherListOrTamperedIsRefused(t *testing.T) {
	t.Parallel()
	s := sealer(t)
	token, err := s.Seal("w=1", cursor{ID: 7})
	require.NoError(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	for i := range raw {
		flipped := append([]byte{}, raw...)
		flipped[i] ^= 1
		refuse(t, s, base64.RawURLEncoding.EncodeToString(flipped), "w=1")
	}
	other, err := sealer(t).Seal("w=1", cursor{ID: 7})
	require.NoError(t, err)
	refuse(t, s, token, "w=2")
	refuse(t, s, other, "w=1")
	for _, bad := range []string{"", "x", "!!", token[:20], token + "AA", token + "=", strings.Repeat("A", 5000)} {
		refuse(t, s, bad, "w=1")
	}
}

func TestATokenEndsAfterADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sealer(t)
		token, err := s.Seal("", cursor{ID: 7})
		require.NoError(t, err)
		<-time.After(24*time.Hour - time.Second)
		require.NoError(t, s.Open(token, "", &cursor{}))
		<-time.After(time.Second)
		refuse(t, s, token, "")
	})
}

func refuse(t *testing.T, s *page.Sealer, token, binding string) {
	t.Helper()
	err := s.Open(token, binding, &cursor{})
	require.Equal(t, codes.InvalidArgument, errs.Code(err))
	require.Equal(t, "INVALID_PAGE_TOKEN", errs.Reason(err))
	e, _ := errs.As(err)
	require.Equal(t, "page_token", e.Fields()[0].Path)
}

func TestKeysMustBeStrong(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16, 31, 33} {
		_, err := page.NewSealer(make([]byte, n))
		require.Error(t, err)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for asked, want := range map[int32]int{0: 50, 1: 1, 200: 200, 201: 200, math.MaxInt32: 200} {
		got, err := page.Size(asked)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := page.Size(-1)
	require.Equal(t, codes.InvalidArgument, errs.Code(err))
}

func FuzzOpen(f *testing.F) {
	s, err := page.NewSealer(make([]byte, 32))
	require.NoError(f, err)
	good, err := s.Seal("b", cursor{ID: 1})
	require.NoError(f, err)
	f.Add(good)
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		var c cursor
		if err := s.Open(token, "b", &c); err == nil {
			require.Equal(t, int64(1), c.ID)
		}
	})
}

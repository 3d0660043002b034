package graph

import (
	"io"
	"log"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A certificate nobody vouches for does not get better by repetition.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(fault{})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	cfg := DefaultConfig()
	cfg.BaseURL = server.URL
	pool, err := NewPool(cfg)
	require.NoError(t, err)
	c := pool.Client("t", &secret{expiry: time.Now().Add(time.Hour)})
	_, err = c.Get(t.Context(), "/beta/x")
	require.Equal(t, "dependency", ReasonCode(err))
	require.False(t, Retryable(err))
	require.EqualValues(t, 1, c.sent.Load())
}

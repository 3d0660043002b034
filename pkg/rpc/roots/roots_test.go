package roots_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
)

func TestRoots(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(file, text, 0o600))
	tests := map[string]func(string) (*x509.CertPool, error){"only": roots.Only, "with the system's": roots.WithSystem}
	for name, read := range tests {
		pool, err := read(file)
		require.NoError(t, err, name)
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		resp, err := client.Get(server.URL)
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close())
		client.CloseIdleConnections()

		_, err = read(file + ".missing")
		require.ErrorIs(t, err, os.ErrNotExist, name)
		empty := filepath.Join(t.TempDir(), "empty.pem")
		require.NoError(t, os.WriteFile(empty, []byte("no PEM"), 0o600))
		_, err = read(empty)
		require.ErrorContains(t, err, "empty.pem: no certificate in it", name)
	}
}

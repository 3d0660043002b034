package devca_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

func leaf(t *testing.T, ca *devca.CA, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(ca.CertFile(name), ca.KeyFile(name))
	require.NoError(t, err)
	return pair.Leaf
}

func TestACertificateServesBothEndsOfACall(t *testing.T) {
	t.Parallel()
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, ca.Issue("operations", "operations.example"))
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ca.RootFile())
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(pem))
	got := leaf(t, ca, "operations")
	for _, name := range []string{"operations", "operations.example", "localhost", "127.0.0.1", "::1"} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := got.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}})
			require.NoError(t, err, name)
		}
	}
	require.Equal(t, "spiffe://tenantpilot/svc/operations", got.URIs[0].String())
	require.WithinDuration(t, time.Now().AddDate(1, 0, 0), got.NotAfter, 48*time.Hour)
}

func TestACertificateIsKeptUntilItNoLongerServes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := devca.Open(dir)
	require.NoError(t, err)
	serial := func(names ...string) string {
		again, err := devca.Open(dir)
		require.NoError(t, err)
		require.NoError(t, again.Issue("a", names...))
		return leaf(t, again, "a").SerialNumber.String()
	}
	first := serial()
	require.Equal(t, first, serial())
	wider := serial("a.example")
	require.NotEqual(t, first, wider, "it lacked a name")
	require.NoError(t, os.WriteFile(ca.KeyFile("a"), []byte("damaged"), 0o600))
	require.NotEqual(t, wider, serial("a.example"), "its key was damaged")
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := devca.Open(dir)
	require.NoError(t, err)
	require.NoError(t, ca.Issue("a"))
	require.NoError(t, devca.ActorKey(dir))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(entries), 6)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), e.Name())
	}
}

func TestManyMayStartAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ca, err := devca.Open(dir)
			if err == nil {
				err = ca.Issue("a")
			}
			if err == nil {
				err = devca.ActorKey(dir)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ca, err := devca.Open(dir)
	require.NoError(t, err)
	leaf(t, ca, "a")
}

func TestADamagedCAIsNamedNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := devca.Open(dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(ca.RootFile(), []byte("x"), 0o600))
	_, err = devca.Open(dir)
	require.ErrorContains(t, err, "ca.pem")
}

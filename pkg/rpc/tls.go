package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
)

// certificates are a process's own certificate and the CA it trusts, read from
// files again when those change: renewal needs no restart.
type certificates struct {
	cert, key, ca string
	log           *slog.Logger

	mu    sync.Mutex
	stamp [3]time.Time // of the files that pair and roots came from
	pair  tls.Certificate
	roots *x509.CertPool
}

func openCertificates(cert, key, ca string, log *slog.Logger) (*certificates, error) {
	if cert == "" || key == "" || ca == "" {
		return nil, errors.New("TLS_CERT, TLS_KEY and TLS_CA must all be set: there is no plain-text mode")
	}
	c := &certificates{cert: cert, key: key, ca: ca, log: log}
	stamp, err := c.changed()
	if err == nil {
		err = c.read(stamp)
	}
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return c, nil
}

// current returns what the files hold now. While files are being replaced they
// may not fit together; until they do, what was read before is used.
func (c *certificates) current() (tls.Certificate, *x509.CertPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp, err := c.changed()
	if err == nil && stamp != c.stamp {
		err = c.read(stamp)
	}
	if err != nil {
		c.log.Warn("certificates not read again", "err", err)
	}
	return c.pair, c.roots
}

func (c *certificates) changed() (stamp [3]time.Time, err error) {
	for i, file := range []string{c.cert, c.key, c.ca} {
		info, err := os.Stat(file)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

func (c *certificates) read(stamp [3]time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	trusted, err := roots.Only(c.ca)
	if err != nil {
		return err
	}
	c.pair, c.roots, c.stamp = pair, trusted, stamp
	return nil
}

// check fails when the certificate has ended, which makes a service not ready
// rather than silently unreachable.
func (c *certificates) check() error {
	pair, _ := c.current()
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		return fmt.Errorf("certificate %s ended at %s", c.cert, pair.Leaf.NotAfter)
	}
	return nil
}

// mutual is TLS 1.3 with a certificate on either side, configured anew for each
// handshake.
type mutual struct {
	files *certificates
	peer  string // the service at the other end; "" on the server, which asks who calls
}

func (m mutual) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	pair, roots := m.files.current()
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: roots,
		ServerName: m.peer, VerifyConnection: m.isPeer,
	}).ClientHandshake(ctx, authority, conn)
}

func (m mutual) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	pair, roots := m.files.current()
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: roots,
		ClientAuth: tls.RequireAndVerifyClientCert, SessionTicketsDisabled: true,
	}).ServerHandshake(conn)
}

func (m mutual) isPeer(state tls.ConnectionState) error {
	if name := serviceOf(state); name != m.peer {
		return fmt.Errorf("the server is %q by its certificate, not %q", name, m.peer)
	}
	return nil
}

func (m mutual) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls", ServerName: m.peer} //nolint:staticcheck // what gRPC takes the authority from
}

func (m mutual) Clone() credentials.TransportCredentials { return m }

func (m mutual) OverrideServerName(string) error {
	return errors.New("the name of a service is not overridden")
}

// serviceOf returns the <name> of spiffe://tenantpilot/svc/<name>, which must be
// the only URI of a verified certificate, or "".
func serviceOf(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 {
		return ""
	}
	uris := state.VerifiedChains[0][0].URIs
	if len(uris) != 1 {
		return ""
	}
	name, ok := strings.CutPrefix(uris[0].String(), "spiffe://tenantpilot/svc/")
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return name
}

func callerOf(ctx context.Context) Caller {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			return Caller{Service: serviceOf(info.State)}
		}
	}
	return Caller{}
}

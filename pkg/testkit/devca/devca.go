// Package devca is a certificate authority for development and tests: one
// folder with a CA, a certificate per service, and the gateway's signing key.
// It is not for production, where certificates come as files from elsewhere.
package devca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour // a certificate this near its end is replaced
)

// CA issues certificates into its folder.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open reads the CA of dir (ca.pem, ca-key.pem), or makes it. Two processes
// may do so at once.
func Open(dir string) (*CA, error) {
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ca, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		ca, err = create(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("development CA %s: %w", dir, err)
	}
	return ca, nil
}

func read(dir string) (*CA, error) {
	cert, err := readCert(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	key, err := readKey[*ecdsa.PrivateKey](filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		return nil, err
	}
	return &CA{dir: dir, cert: cert, key: key}, nil
}

func create(dir string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := blank("TenantPilot development CA", caLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if err := writeKey(filepath.Join(dir, "ca-key.pem"), key); err != nil {
		return nil, err
	}
	// The certificate is written last: it being there says that the key is.
	if err := writePEM(filepath.Join(dir, "ca.pem"), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return read(dir)
}

// Issue makes <name>.pem and <name>-key.pem for the service name: a certificate
// for spiffe://tenantpilot/svc/<name>, the DNS name <name>, dnsNames, localhost
// and 127.0.0.1, for either end of a call. One that still serves is kept.
func (ca *CA) Issue(name string, dnsNames ...string) error {
	unlock, err := lock(ca.dir)
	if err != nil {
		return err
	}
	defer unlock()
	template := blank(name, leafLife)
	template.DNSNames = append([]string{name, "localhost"}, dnsNames...)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: "tenantpilot", Path: "/svc/" + name}}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if ca.serves(template) {
		return nil
	}
	if err := ca.issue(template); err != nil {
		return fmt.Errorf("certificate of %s: %w", name, err)
	}
	return nil
}

func (ca *CA) issue(template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return err
	}
	name := template.Subject.CommonName
	if err := writeKey(ca.KeyFile(name), key); err != nil {
		return err
	}
	return writePEM(ca.CertFile(name), "CERTIFICATE", der)
}

// serves reports whether the certificate on disk can stand for the wanted one.
func (ca *CA) serves(want *x509.Certificate) bool {
	name := want.Subject.CommonName
	have, err := readCert(ca.CertFile(name))
	if err != nil || time.Until(have.NotAfter) < renewal || have.CheckSignatureFrom(ca.cert) != nil {
		return false
	}
	key, err := readKey[*ecdsa.PrivateKey](ca.KeyFile(name))
	if err != nil || !key.PublicKey.Equal(have.PublicKey) {
		return false
	}
	for _, dns := range want.DNSNames {
		if have.VerifyHostname(dns) != nil {
			return false
		}
	}
	return true
}

// RootFile is the file of the CA's certificate.
func (ca *CA) RootFile() string { return filepath.Join(ca.dir, "ca.pem") }

// CertFile is the file of name's certificate.
func (ca *CA) CertFile(name string) string { return filepath.Join(ca.dir, name+".pem") }

// KeyFile is the file of name's private key.
func (ca *CA) KeyFile(name string) string { return filepath.Join(ca.dir, name+"-key.pem") }

// ActorKey makes the gateway's signing key in dir, actor-key.pem and
// actor-pub.pem, unless it is there.
func ActorKey(dir string) error {
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	private, public := filepath.Join(dir, "actor-key.pem"), filepath.Join(dir, "actor-pub.pem")
	key, err := readKey[ed25519.PrivateKey](private)
	if errors.Is(err, fs.ErrNotExist) {
		if _, key, err = ed25519.GenerateKey(rand.Reader); err == nil {
			err = writeKey(private, key)
		}
	}
	if err != nil {
		return fmt.Errorf("actor key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("actor key: %w", err)
	}
	return writePEM(public, "PUBLIC KEY", der)
}

func blank(name string, life time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{"TenantPilot development"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life),
	}
}

// lock makes dir and holds it against other processes.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the caller's folder
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a file descriptor fits
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

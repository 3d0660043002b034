// Package roots reads certificate authorities from PEM files. It does not read
// certificates with their keys, nor watch files for changes: pkg/rpc does.
package roots

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Only returns a pool that trusts the authorities in file and no others.
func Only(file string) (*x509.CertPool, error) { return add(x509.NewCertPool(), file) }

// WithSystem returns a pool that trusts the authorities in file beside those of
// the system. Where the system's cannot be read, file's are the only ones.
func WithSystem(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	return add(pool, file)
}

func add(pool *x509.CertPool, file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}

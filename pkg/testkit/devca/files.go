package devca

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

func readCert(file string) (*x509.Certificate, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readKey[K any](file string) (K, error) {
	var none K
	der, err := readPEM(file)
	if err != nil {
		return none, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return none, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(K)
	if !ok {
		return none, fmt.Errorf("%s: want %T, got %T", file, none, parsed)
	}
	return key, nil
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // in the caller's folder
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: not a PEM file", file)
	}
	return block.Bytes, nil
}

func writeKey(file string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(file, "PRIVATE KEY", der)
}

// writePEM replaces file in one step, so that nobody reads half of it.
func writePEM(file, kind string, der []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // CreateTemp makes it 0600
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

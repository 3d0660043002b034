// Package seal encrypts secrets that must be read again, under the service's master
// keys and bound to the row that the secret belongs to. It stores nothing. A secret
// that only has to be recognised, such as an API token, is hashed instead.
package seal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const keySize = 32

// Box seals and opens secrets.
type Box struct{ aead tink.AEAD }

// Load reads the master keys from a file that nobody else may read.
func Load(file string) (*Box, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("master key %s: readable by everyone; chmod it to 0600", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return New(string(text))
}

// New reads the master keys from text: one a line, 32 random bytes in base64
// (openssl rand -base64 32). Lines that begin with # are comments. The first key
// seals, and all of them open: to change the key, put a new one on top, and keep the
// old ones until nothing is sealed with them.
func New(text string) (*Box, error) {
	keys := keyset.NewManager()
	var primary uint32
	line := 0
	for entry := range strings.Lines(text) {
		line++
		entry = strings.TrimSpace(entry)
		if entry == "" || strings.HasPrefix(entry, "#") {
			continue
		}
		id, err := add(keys, entry)
		if err != nil {
			return nil, fmt.Errorf("master key, line %d: %w", line, err)
		}
		if primary == 0 {
			primary = id
		}
	}
	if primary == 0 {
		return nil, errors.New("master key: none given")
	}
	return open(keys, primary)
}

// add never has the entry in its error: it may be a key with a typing error.
func add(keys *keyset.Manager, entry string) (uint32, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(entry)
	if err != nil || len(raw) != keySize {
		return 0, errors.New("want 32 bytes in base64")
	}
	parameters, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: keySize, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
	})
	if err != nil {
		return 0, err
	}
	// The id is the beginning of every ciphertext. It must not depend on the key's
	// place in the file.
	sum := sha256.Sum256(append([]byte("tenantpilot master key id\x00"), raw...))
	id := max(binary.BigEndian.Uint32(sum[:4]), 1)
	key, err := aesgcm.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), id, parameters)
	if err != nil {
		return 0, err
	}
	if _, err := keys.AddKey(key); err != nil {
		return 0, errors.New("given twice")
	}
	return id, nil
}

func open(keys *keyset.Manager, primary uint32) (*Box, error) {
	if err := keys.SetPrimary(primary); err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	handle, err := keys.Handle()
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return &Box{aead: a}, nil
}

// Seal encrypts secret. The result can be opened only with the same binding, which
// names the row and the purpose.
func (b *Box) Seal(secret, binding string) ([]byte, error) {
	sealed, err := b.aead.Encrypt([]byte(secret), []byte(binding))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made with the same binding. It returns an error for anything
// else.
func (b *Box) Open(sealed []byte, binding string) (string, error) {
	secret, err := b.aead.Decrypt(sealed, []byte(binding))
	if err != nil {
		return "", errors.New("open a sealed secret: sealed for another row, under another master key, or damaged")
	}
	return string(secret), nil
}

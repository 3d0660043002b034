// Package page is lists that are returned page by page: sizes, and tokens of the
// next page. A token is sealed: nobody can read it, change it, or use it for another
// list than the one it came from. The package reads no rows: a store does.
package page

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	defaultSize = 50
	maxSize     = 200
	lifetime    = 24 * time.Hour
	maxToken    = 4096
)

// ErrExpired is why [Sealer.Open] refuses a token that is too old.
var ErrExpired = errors.New("expired")

// Sealer seals and opens the tokens of one service. Replicas need the same key.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a Sealer with a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("page key: want 32 bytes, got %d", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("page key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("page key: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// RandomKey returns a key for a process without replicas. Its tokens are good until
// the process ends.
func RandomKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: it ends the process instead
	return key
}

// Seal returns a token that holds cursor. The binding is everything that tells this
// list from others, for example workspace, filter and order. It is not in the token,
// but [Sealer.Open] needs the same one.
func (s *Sealer) Seal(binding string, cursor any) (string, error) {
	body, err := json.Marshal(cursor)
	if err != nil {
		return "", fmt.Errorf("page cursor: %w", err)
	}
	expiry := time.Now().Add(lifetime).Unix()
	plain := binary.BigEndian.AppendUint64(nil, uint64(expiry)) //nolint:gosec // a time after 1970
	sealed := s.aead.Seal(nil, nil, append(plain, body...), []byte(binding))
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open reads the cursor back. It returns Invalid (INVALID_PAGE_TOKEN) for a token
// that is damaged, too old, or of another list.
func (s *Sealer) Open(token, binding string, cursor any) error {
	if err := s.open(token, binding, cursor); err != nil {
		return errs.Invalid("page_token", "is not a token of this list, or is too old; start from the first page").
			WithReason("INVALID_PAGE_TOKEN").Wrap(err)
	}
	return nil
}

func (s *Sealer) open(token, binding string, cursor any) error {
	if len(token) > maxToken {
		return errors.New("too long")
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return err
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(binding))
	if err != nil {
		return err
	}
	if len(plain) < 8 {
		return errors.New("too short")
	}
	expiry := int64(binary.BigEndian.Uint64(plain)) //nolint:gosec // sealed by us
	if time.Now().Unix() >= expiry {
		return ErrExpired
	}
	return json.Unmarshal(plain[8:], cursor)
}

// Size returns the page size to use for the one requested: the default for 0, at most
// the limit, and Invalid for less than 0.
func Size(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, errs.Invalid("page_size", "must not be negative")
	case asked == 0:
		return defaultSize, nil
	}
	return min(int(asked), maxSize), nil
}

// Package token is the text of an API token: how it is made, how a typing error is
// found in it, and how it is compared with its stored hash. It does not know who
// holds a token, nor for how long.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

const (
	prefix    = "tenantpilot"
	keyIDLen  = 11 // 8 bytes in base 62
	secretLen = 43 // 32 bytes in base 62
	checkLen  = 6  // 4 bytes in base 62
)

// ErrMalformed is the error for a text that cannot be a token.
var ErrMalformed = errors.New("not an API token")

// Secret is a whole token. Printing it does not show it.
type Secret struct{ keyID, secret string }

// New returns a token with 32 random bytes.
func New() Secret {
	return Secret{keyID: random(8, keyIDLen), secret: random(32, secretLen)}
}

// Parse reads a token as [Secret.Reveal] wrote it, or returns ErrMalformed.
func Parse(text string) (Secret, error) {
	part := strings.Split(text, "_")
	if len(part) != 4 || part[0] != prefix || len(part[1]) != keyIDLen || len(part[2]) != secretLen {
		return Secret{}, ErrMalformed
	}
	s := Secret{keyID: part[1], secret: part[2]}
	if s.Reveal() != text {
		return Secret{}, ErrMalformed
	}
	return s, nil
}

// Reveal returns the token's text, to be shown to its holder once. With the checksum
// at its end, we and scanners for leaked secrets can tell a token from other text.
func (s Secret) Reveal() string {
	body := prefix + "_" + s.keyID + "_" + s.secret
	sum := crc32.ChecksumIEEE([]byte(body))
	return body + "_" + base62([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, checkLen)
}

// KeyID returns the part by which a token is found. It is no secret: logs may show it.
func (s Secret) KeyID() string { return s.keyID }

// Hash returns what is stored of a token. SHA-256 is slow enough, because the secret
// is random and as long as the hash.
func (s Secret) Hash() []byte {
	sum := sha256.Sum256([]byte(s.secret))
	return sum[:]
}

// Matches compares the token with a stored hash, in constant time.
func (s Secret) Matches(hash []byte) bool { return subtle.ConstantTimeCompare(s.Hash(), hash) == 1 }

// Format keeps the secret out of every log and error: %v, %s and %+v alike.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[token " + s.keyID + "]")) }

func random(n, size int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return base62(b, size)
}

// base62 writes b as a number of exactly size digits.
func base62(b []byte, size int) string {
	text := new(big.Int).SetBytes(b).Text(62)
	return strings.Repeat("0", size-len(text)) + text
}

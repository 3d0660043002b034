// Package token is the text of an API token: how it is made, told from a typing
// error, and compared with what is stored of it. Who holds one, and for how
// long, is not its business.
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

// ErrMalformed says that a text cannot be a token, whatever is stored.
var ErrMalformed = errors.New("not an API token")

// Secret is a whole token. It does not print itself.
type Secret struct{ keyID, secret string }

// New makes a token of 32 random bytes.
func New() Secret {
	return Secret{keyID: random(8, keyIDLen), secret: random(32, secretLen)}
}

// Parse reads a token as [Secret.Reveal] wrote it, or answers ErrMalformed.
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

// Reveal is the token's text, to be shown to its holder once. The checksum at
// its end lets a scanner, and us, tell a token from a typing error.
func (s Secret) Reveal() string {
	body := prefix + "_" + s.keyID + "_" + s.secret
	sum := crc32.ChecksumIEEE([]byte(body))
	return body + "_" + base62([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, checkLen)
}

// KeyID is the part by which a token is found and may be named in logs.
func (s Secret) KeyID() string { return s.keyID }

// Hash is what is stored of a token. The secret is as long as the hash and
// random, so that nothing slower than SHA-256 is needed.
func (s Secret) Hash() []byte {
	sum := sha256.Sum256([]byte(s.secret))
	return sum[:]
}

// Matches compares with a stored hash, in a time that tells nothing.
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

package actor

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	issuer   = "tenantpilot-gateway"
	audience = "tenantpilot"
	lifetime = 60 * time.Second
	leeway   = 30 * time.Second // clocks of two machines; short enough that a stolen token stays short-lived
)

type claims struct {
	jwt.RegisteredClaims
	Name        string       `json:"name,omitempty"`
	TokenID     string       `json:"tid,omitempty"`
	Memberships []membership `json:"mem,omitempty"`
	Operator    bool         `json:"op,omitempty"`
}

type membership struct {
	Workspace int64 `json:"w"`
	Role      Role  `json:"r"`
}

// Signer signs tokens; only the gateway has one.
type Signer struct {
	key ed25519.PrivateKey
	kid string
}

// NewSigner reads an Ed25519 private key (PKCS #8 PEM) from a file that others
// must not be able to read.
func NewSigner(keyFile string) (*Signer, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return nil, fmt.Errorf("actor key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("actor key %s: readable by everyone; chmod it to 0600", keyFile)
	}
	der, err := readPEM(keyFile)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("actor key %s: %w", keyFile, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("actor key %s: want an Ed25519 key, got %T", keyFile, parsed)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return &Signer{key: key, kid: keyID(public)}, nil
}

// Sign returns a token for a that is valid for a minute from now.
func (s *Signer) Sign(a Actor, now time.Time) (string, error) {
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: strconv.FormatInt(a.UserID, 10),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)), ID: rand.Text(),
		},
		Name: a.Name, TokenID: a.TokenID, Operator: a.Operator,
	}
	for _, m := range a.Memberships {
		c.Memberships = append(c.Memberships, membership{Workspace: m.WorkspaceID, Role: m.Role})
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = s.kid
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign actor: %w", err)
	}
	return signed, nil
}

// Verifier reads tokens signed by any of its keys.
type Verifier struct {
	keys   map[string]ed25519.PublicKey
	parser *jwt.Parser
}

// NewVerifier reads Ed25519 public keys (PKIX PEM), one a file: two while the
// gateway's key is being changed. With none it refuses every token.
func NewVerifier(keyFiles ...string) (*Verifier, error) {
	keys := map[string]ed25519.PublicKey{}
	for _, file := range keyFiles {
		der, err := readPEM(file)
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, fmt.Errorf("actor key %s: %w", file, err)
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("actor key %s: want an Ed25519 key, got %T", file, parsed)
		}
		keys[keyID(key)] = key
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithLeeway(leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	return &Verifier{keys: keys, parser: parser}, nil
}

// Verify returns the Actor in a token, or Unauthenticated.
func (v *Verifier) Verify(token string) (Actor, error) {
	a, err := v.read(token)
	if err != nil {
		return Actor{}, errs.Unauthenticated("ACTOR_TOKEN_INVALID", "the call's user token is not valid, or too old").Wrap(err)
	}
	return a, nil
}

func (v *Verifier) read(token string) (Actor, error) {
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.key); err != nil {
		return Actor{}, err
	}
	id, err := strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || id <= 0 {
		return Actor{}, fmt.Errorf("subject %q is not a user", c.Subject)
	}
	a := Actor{UserID: id, Name: c.Name, TokenID: c.TokenID, Operator: c.Operator}
	for _, m := range c.Memberships {
		a.Memberships = append(a.Memberships, Membership{WorkspaceID: m.Workspace, Role: m.Role})
	}
	return a, nil
}

func (v *Verifier) key(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	if key, ok := v.keys[kid]; ok {
		return key, nil
	}
	return nil, errors.New("signed by an unknown key")
}

func keyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // named by the operator
	if err != nil {
		return nil, fmt.Errorf("actor key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("actor key %s: not a PEM file", file)
	}
	return block.Bytes, nil
}

package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	// believed is how long a resolved token is used without asking tenancy again: a
	// revoked token or a removed member works at most this much longer.
	believed = 5 * time.Second
	// maxKnown bounds the memory spent on it.
	maxKnown = 10_000
)

// Caller is who makes a request.
type Caller struct {
	actor.Actor
	Token string // the API token they showed
}

// Credential reads the API token of a request, for example from a header or a
// session cookie. An empty token is refused like an unknown one.
type Credential func(*http.Request) (token string, err error)

// Authenticate returns who makes the request, and a context under which calls are
// made on their behalf. It counts the request against the limit of its user, or
// of its address if it shows no good token.
func (s *Site) Authenticate(r *http.Request, credential Credential) (context.Context, Caller, error) {
	token, err := credential(r)
	if err != nil {
		return nil, Caller{}, errors.Join(s.strangers.Take(Peer(r)), err)
	}
	if err := s.strangers.spent(Peer(r)); err != nil {
		return nil, Caller{}, err
	}
	who, err := s.Resolve(r.Context(), token)
	if err != nil {
		_ = s.strangers.Take(Peer(r)) // counted; the caller is told about the token
		return nil, Caller{}, err
	}
	if err := s.users.Take(fmt.Sprint(who.UserID)); err != nil {
		return nil, Caller{}, err
	}
	seenIn(r.Context()).userID = who.UserID
	ctx, err := s.Carry(r.Context(), who)
	return ctx, Caller{Actor: who, Token: token}, err
}

// Resolve returns the user that token stands for.
func (s *Site) Resolve(ctx context.Context, token string) (actor.Actor, error) {
	return s.identity.resolve(ctx, token)
}

// Carry returns ctx with the signed actor token of a, which calls made under it
// carry. Several goroutines may call it with one ctx: a watch that many share
// outlives the request that began it.
func (s *Site) Carry(ctx context.Context, a actor.Actor) (context.Context, error) {
	signed, err := s.identity.signer.Sign(a, s.now())
	if err != nil {
		return nil, err
	}
	return actor.WithToken(ctx, a, signed), nil
}

// Bearer is the [Credential] of programs: the token of the Authorization header.
func Bearer(r *http.Request) (string, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", errs.Unauthenticated("TOKEN_MISSING", "send an API token: Authorization: Bearer TOKEN")
	}
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(token) == "" {
		return "", errs.Unauthenticated("TOKEN_MISSING", "the Authorization header is not a bearer token")
	}
	return strings.TrimSpace(token), nil
}

// identity resolves tokens, and remembers for a while what it resolved.
type identity struct {
	tenancy tenancyv1.IdentityServiceClient
	signer  *actor.Signer
	now     func() time.Time

	// By the hash of the token. The library's own expiring cache is no use here: it
	// starts a goroutine that nobody can end.
	known *lru.Cache[[sha256.Size]byte, knownActor]
}

func newIdentity(tenancy tenancyv1.IdentityServiceClient, signer *actor.Signer, now func() time.Time) *identity {
	known, _ := lru.New[[sha256.Size]byte, knownActor](maxKnown) // fails for a size below one only
	return &identity{tenancy: tenancy, signer: signer, now: now, known: known}
}

type knownActor struct {
	actor actor.Actor
	until time.Time
}

func (i *identity) resolve(ctx context.Context, token string) (actor.Actor, error) {
	if token == "" || len(token) > 512 || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return actor.Actor{}, errTokenInvalid()
	}
	key := sha256.Sum256([]byte(token))
	if a, ok := i.recall(key); ok {
		return a, nil
	}
	resolved, err := i.tenancy.ResolveApiToken(ctx, &tenancyv1.ResolveApiTokenRequest{Token: token})
	if errs.HasReason(err, tokenInvalid) {
		return actor.Actor{}, errTokenInvalid() // the caller's to mend; any other refusal of tenancy's is ours
	}
	if err != nil {
		return actor.Actor{}, err
	}
	a := actorOf(resolved)
	i.remember(key, a)
	return a, nil
}

// tokenInvalid is the reason that tenancy gives for a token it does not know.
const tokenInvalid = tenancyv1.TenancyReason_TENANCY_REASON_TOKEN_INVALID

func errTokenInvalid() error {
	return errs.Unauthenticated(errs.Word(tokenInvalid), "the token is unknown, expired or revoked")
}

func (i *identity) recall(key [sha256.Size]byte) (actor.Actor, bool) {
	k, ok := i.known.Get(key)
	return k.actor, ok && i.now().Before(k.until)
}

func (i *identity) remember(key [sha256.Size]byte, a actor.Actor) {
	i.known.Add(key, knownActor{actor: a, until: i.now().Add(believed)})
}

func actorOf(r *tenancyv1.ResolveApiTokenResponse) actor.Actor {
	a := actor.Actor{UserID: r.GetUser().GetId(), Name: r.GetUser().GetDisplayName(), TokenID: r.GetKeyId()}
	for _, m := range r.GetMemberships() {
		if role, ok := roleOf(m.GetRole()); ok {
			a.Memberships = append(a.Memberships, actor.Membership{WorkspaceID: m.GetWorkspaceId(), Role: role})
		}
	}
	return a
}

func roleOf(r tenancyv1.Role) (actor.Role, bool) {
	switch r {
	case tenancyv1.Role_ROLE_READONLY:
		return actor.Readonly, true
	case tenancyv1.Role_ROLE_OPERATOR:
		return actor.Operator, true
	case tenancyv1.Role_ROLE_MANAGER:
		return actor.Manager, true
	case tenancyv1.Role_ROLE_OWNER:
		return actor.Owner, true
	default:
		return "", false
	}
}

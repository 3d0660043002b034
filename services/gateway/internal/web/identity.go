package web

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	// believed is how long a resolved token is believed without asking again: a
	// revoked token or a removed member works at most this much longer.
	believed = 5 * time.Second
	// maxKnown bounds the memory spent on it.
	maxKnown = 10_000
)

// identity turns tokens into actors, and actors into what calls carry.
type identity struct {
	tenancy tenancyv1.IdentityServiceClient
	signer  *actor.Signer
	now     func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]knownActor
}

type knownActor struct {
	actor actor.Actor
	until time.Time
}

// resolve answers who token stands for.
func (i *identity) resolve(ctx context.Context, token string) (actor.Actor, error) {
	if token == "" || len(token) > 512 || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return actor.Actor{}, errTokenInvalid()
	}
	key := sha256.Sum256([]byte(token))
	if a, ok := i.recall(key); ok {
		return a, nil
	}
	answer, err := i.tenancy.ResolveApiToken(ctx, &tenancyv1.ResolveApiTokenRequest{Token: token})
	if errs.HasReason(err, tokenInvalid) {
		return actor.Actor{}, errTokenInvalid() // the caller's to mend; any other refusal of tenancy's is ours
	}
	if err != nil {
		return actor.Actor{}, err
	}
	a := actorOf(answer)
	i.remember(key, a)
	return a, nil
}

// tokenInvalid is tenancy's reason for a token it doesn't know.
const tokenInvalid = tenancyv1.TenancyReason_TENANCY_REASON_TOKEN_INVALID

func errTokenInvalid() error {
	return errs.Unauthenticated(errs.Word(tokenInvalid), "the token is unknown, expired or revoked")
}

func (i *identity) recall(key [sha256.Size]byte) (actor.Actor, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	k, ok := i.known[key]
	return k.actor, ok && i.now().Before(k.until)
}

func (i *identity) remember(key [sha256.Size]byte, a actor.Actor) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.known) >= maxKnown {
		clear(i.known)
	}
	i.known[key] = knownActor{actor: a, until: i.now().Add(believed)}
}

// carry puts a on ctx, signed, for the calls made under it. It is safe for several
// goroutines with one ctx: a watch that many share outlives the request that began it.
func (i *identity) carry(ctx context.Context, a actor.Actor) (context.Context, error) {
	signed, err := i.signer.Sign(a, i.now())
	if err != nil {
		return nil, err
	}
	return actor.WithToken(ctx, a, signed), nil
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

// bearer is the token of an Authorization header.
func bearer(r *http.Request) (string, error) {
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

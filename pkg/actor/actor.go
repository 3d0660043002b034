// Package actor is the end user behind a call: who, member of what, allowed
// what, and the signed token that says so between services. It knows nothing of
// sessions or API tokens; the gateway turns those into an Actor.
package actor

import (
	"context"
	"slices"
)

// Metadata is the gRPC metadata key of the signed token. Any other identity
// header is ignored.
const Metadata = "x-tenantpilot-actor"

// Actor is an end user.
type Actor struct {
	UserID      int64
	Name        string // for people to read; nothing is decided by it
	TokenID     string // the session or API token behind the call
	Memberships []Membership
	Operator    bool // operates the platform; implies no role in any workspace
}

// Membership is a role in a workspace.
type Membership struct {
	WorkspaceID int64
	Role        Role
}

// Role is what a member is in a workspace.
type Role string

// The four roles, from least to most.
const (
	Readonly Role = "readonly"
	Operator Role = "operator"
	Manager  Role = "manager"
	Owner    Role = "owner"
)

// Capability is what a role allows. The numbers are those of the proto enum
// tenantpilot.authz.v1.Capability.
type Capability int

// The capabilities.
const (
	View       Capability = 1
	Operate    Capability = 2
	Manage     Capability = 3
	Administer Capability = 4
)

// matrix is the one table of what each role may do.
func matrix() map[Role][]Capability {
	return map[Role][]Capability{
		Readonly: {View},
		Operator: {View, Operate},
		Manager:  {View, Operate, Manage},
		Owner:    {View, Operate, Manage, Administer},
	}
}

// Allows reports whether members with role r may do c.
func (r Role) Allows(c Capability) bool { return slices.Contains(matrix()[r], c) }

// Valid reports whether r is one of the four roles.
func (r Role) Valid() bool { return matrix()[r] != nil }

// String returns the word for c in errors: "OPERATE".
func (c Capability) String() string {
	switch c {
	case View:
		return "VIEW"
	case Operate:
		return "OPERATE"
	case Manage:
		return "MANAGE"
	case Administer:
		return "ADMINISTER"
	}
	return "UNKNOWN"
}

// Role returns the actor's role in a workspace, and false if they are not a
// member.
func (a Actor) Role(workspaceID int64) (Role, bool) {
	for _, m := range a.Memberships {
		if m.WorkspaceID == workspaceID {
			return m.Role, true
		}
	}
	return "", false
}

type actorKey struct{}

type carried struct {
	actor Actor
	token string
}

// With puts a on ctx. Calls made under it carry no token; see [WithToken].
func With(ctx context.Context, a Actor) context.Context { return WithToken(ctx, a, "") }

// WithToken puts a on ctx with its signed token, which pkg/rpc sends along
// with every call made under ctx.
func WithToken(ctx context.Context, a Actor, token string) context.Context {
	return context.WithValue(ctx, actorKey{}, carried{actor: a, token: token})
}

// From returns the actor on ctx, and false if a service acts for itself.
func From(ctx context.Context) (Actor, bool) {
	c, ok := ctx.Value(actorKey{}).(carried)
	return c.actor, ok
}

// TokenFrom returns the signed token on ctx, or "".
func TokenFrom(ctx context.Context) string {
	c, _ := ctx.Value(actorKey{}).(carried)
	return c.token
}

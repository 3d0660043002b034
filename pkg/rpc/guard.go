package rpc

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// gateway is the service that calls for end users only.
const gateway = "gateway"

// Caller is the process that made a call.
type Caller struct {
	Service string // by its certificate: spiffe://tenantpilot/svc/<Service>
}

// CallerFrom returns the caller of the call that ctx belongs to.
func CallerFrom(ctx context.Context) Caller {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.caller
	}
	return Caller{}
}

// admit checks who is calling, before anything of the request is looked at, and
// puts the end user on the context.
func (s *Server) admit(ctx context.Context, c *call) (context.Context, error) {
	if !slices.Contains(c.method.callers, c.caller.Service) {
		return ctx, notPermitted(c)
	}
	switch tokens := metadata.ValueFromIncomingContext(ctx, actor.Metadata); len(tokens) {
	case 0:
		if c.caller.Service == gateway && c.method.scope != authzv1.Scope_SCOPE_NONE {
			return ctx, errs.Unauthenticated("ACTOR_MISSING", "the call does not say which user it is for")
		}
		return ctx, nil
	case 1:
		a, err := s.verifier.Verify(tokens[0])
		if err != nil {
			return ctx, err
		}
		c.actor, c.acted = a, true
		return actor.WithToken(ctx, a, tokens[0]), nil
	default:
		return ctx, errs.Unauthenticated("ACTOR_TOKEN_INVALID", "the call names more than one user")
	}
}

func notPermitted(c *call) error {
	return errs.Denied("CALLER_NOT_PERMITTED", "the service %q may not call this method", c.caller.Service)
}

// check looks at a request of the method rule: may the user, and can it work as
// written.
func (s *Server) check(c *call, rule *method, req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return fmt.Errorf("request is a %T, not a proto message", req)
	}
	if err := unreadable(m); err != nil {
		return err
	}
	if rule.scope == authzv1.Scope_SCOPE_WORKSPACE {
		id := m.ProtoReflect().Get(rule.workspace).Int()
		if id <= 0 {
			return errs.Invalid("workspace_id", "must name a workspace")
		}
		if err := c.authorize(rule, id); err != nil {
			return err
		}
	}
	if err := withoutNUL(m, rule.entries); err != nil {
		return err
	}
	return invalid(s.validator.Validate(m, outsideJSON))
}

// Authorize is for the handler of a method of SCOPE_OBJECT, once it knows whose
// the object is: NotFound for somebody who is not a member of the workspace, in
// the same bytes as for an object that is not there, and Denied for a member
// who may not do this. A service that acts for itself passes.
func Authorize(ctx context.Context, workspaceID int64) error {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return fmt.Errorf("authorize workspace %d: not within a call", workspaceID)
	}
	return c.authorize(c.method, workspaceID)
}

func (c *call) authorize(rule *method, workspaceID int64) error {
	c.workspace.Store(workspaceID)
	if !c.acted {
		return nil
	}
	role, member := c.actor.Role(workspaceID)
	if !member {
		return errs.NotFound(rule.resource)
	}
	if need := rule.capability; !role.Allows(need) {
		return errs.Denied("CAPABILITY_MISSING", "your role %s does not include %s", role, need).
			With("capability", need.String())
	}
	return nil
}

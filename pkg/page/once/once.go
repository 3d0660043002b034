// Package once makes a call that is repeated happen once. It remembers the
// request id of the call, a digest of what was asked, and what was returned. It
// does not repeat calls: the client does, when it has lost the reply.
package once

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// Request identifies a call among those that were made. The zero value is a call
// that cannot be repeated.
type Request struct {
	Caller string // the service that calls: each has request ids of its own
	ID     string // "" for a call that cannot be repeated
	Digest []byte // hash of the method, the user and the message without its request id
}

// message is a request message that has a request id.
type message interface {
	proto.Message
	GetRequestId() string
}

// Of returns the Request of a call. Its digest covers the method (the name of
// the message), the end user and the message without the request id.
func Of(ctx context.Context, req message) (Request, error) {
	if req.GetRequestId() == "" {
		return Request{}, nil
	}
	body := proto.Clone(req).ProtoReflect()
	body.Clear(body.Descriptor().Fields().ByName("request_id"))
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(body.Interface())
	if err != nil {
		return Request{}, fmt.Errorf("digest of %s: %w", body.Descriptor().Name(), err)
	}
	user, _ := actor.From(ctx) // no user: the service calls for itself
	method := strings.TrimSuffix(string(body.Descriptor().Name()), "Request")
	return Request{
		Caller: rpc.CallerFrom(ctx).Service, ID: req.GetRequestId(),
		Digest: Digest(fmt.Appendf(nil, "%s|%d|%s", method, user.UserID, wire)),
	}, nil
}

// Digest returns the digest of a call. The bytes must cover everything that makes
// the call what it is. Digests are stored: how a call is written as bytes must never
// change.
func Digest(call []byte) []byte {
	sum := sha256.Sum256(call)
	return sum[:]
}

// Check returns nil if a call with the digest now repeats the call with the digest
// before, and else Invalid (REQUEST_ID_REUSED).
func Check(before, now []byte) *errs.Error {
	if bytes.Equal(before, now) {
		return nil
	}
	return errs.Invalid("request_id", "was used before for another request; use a new one").WithReason("REQUEST_ID_REUSED")
}

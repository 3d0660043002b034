package jsonapi

import (
	"context"
	"crypto/rand"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

type keyKey struct{}

// withIdempotencyKey makes key the request_id of the calls made under ctx.
func withIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// keyed is a connection whose mutating calls carry a request_id, so that saying
// one twice does it once: the Idempotency-Key of the HTTP request, or else one of
// our own, which lets the client repeat a call whose answer got lost. Of requests
// without such a field only those that create cannot be repeated.
type keyed struct{ grpc.ClientConnInterface }

func (k keyed) Invoke(ctx context.Context, method string, request, reply any, opts ...grpc.CallOption) error {
	key, _ := ctx.Value(keyKey{}).(string)
	if m, ok := request.(proto.Message); ok {
		if err := setRequestID(m.ProtoReflect(), method, key); err != nil {
			return err
		}
	}
	return k.ClientConnInterface.Invoke(ctx, method, request, reply, opts...)
}

func setRequestID(m protoreflect.Message, method, key string) error {
	field := m.Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind {
		return mayRepeat(method, key)
	}
	given := m.Get(field).String()
	switch {
	case given == "" && key == "":
		key = rand.Text()
	case given == "" || given == key:
	case key == "":
		return nil
	default:
		return errs.Invalid("request_id", "differs from the Idempotency-Key header; send one of the two")
	}
	m.Set(field, protoreflect.ValueOfString(key))
	return nil
}

// mayRepeat refuses to promise by an Idempotency-Key what cannot be kept: what a
// request without a request_id creates is told once, and kept nowhere to be told
// again. The other methods without one read, or make something so that is so already.
func mayRepeat(method, key string) error {
	if key != "" && strings.HasPrefix(path.Base(method), "Create") {
		return errs.Invalid("Idempotency-Key",
			"is not possible here: the token is shown once and cannot be replayed; if the answer was lost, revoke the token and create another")
	}
	return nil
}

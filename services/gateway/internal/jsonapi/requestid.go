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

// keyKey is the context key of the Idempotency-Key.
type keyKey struct{}

// withIdempotencyKey makes key the request_id of the calls made under ctx.
func withIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// keyed is a connection that fills in the request_id of requests that have the field,
// so that a call which is made twice takes effect once. The id is the Idempotency-Key
// of the HTTP request. Without that header it is a random one, with which the gRPC
// client can still repeat a call whose reply was lost.
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

// mayRepeat returns an error if a request without a request_id comes with an
// Idempotency-Key and creates something. For example, a new API token is shown once and
// not stored, so a second call could not return the same token. Other methods without a
// request_id are harmless to repeat: they read, delete, or set what is set already.
func mayRepeat(method, key string) error {
	if key != "" && strings.HasPrefix(path.Base(method), "Create") {
		return errs.Invalid("Idempotency-Key",
			"is not possible here: the token is shown once and cannot be replayed; if the answer was lost, revoke the token and create another")
	}
	return nil
}

package web

import (
	"context"

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

// keyed is a connection whose calls carry the Idempotency-Key of the HTTP
// request as their request_id. Requests without such a field are idempotent as
// they are, and go through unchanged.
type keyed struct{ grpc.ClientConnInterface }

func (k keyed) Invoke(ctx context.Context, method string, request, reply any, opts ...grpc.CallOption) error {
	key, _ := ctx.Value(keyKey{}).(string)
	if m, ok := request.(proto.Message); ok && key != "" {
		if err := setRequestID(m.ProtoReflect(), key); err != nil {
			return err
		}
	}
	return k.ClientConnInterface.Invoke(ctx, method, request, reply, opts...)
}

func setRequestID(m protoreflect.Message, key string) error {
	field := m.Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind {
		return nil
	}
	if given := m.Get(field).String(); given != "" && given != key {
		return errs.Invalid("request_id", "differs from the Idempotency-Key header; send one of the two")
	}
	m.Set(field, protoreflect.ValueOfString(key))
	return nil
}

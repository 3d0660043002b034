package rpc

import (
	"unicode/utf8"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// codec is gRPC's own, except that a request that cannot be decoded reaches the
// interceptors, marked, instead of ending the call there and then as Internal:
// bad bytes are the caller's fault and are logged like any other.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	m, ok := v.(proto.Message)
	if err == nil || !ok {
		return err
	}
	path := findBadText(m.ProtoReflect().Descriptor(), data.Materialize())
	proto.Reset(m)
	mark := protowire.AppendTag(nil, markField, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendString(mark, path))
	return nil
}

// markField is the number of the unknown field that marks a message as not
// decoded, with the path of the bad text if that was why. No proto may use it
// for anything smaller than the largest number there is; a caller who sends it
// only has the call refused.
const markField = protowire.MaxValidNumber

// unreadable is the error for a message that codec has marked.
func unreadable(m proto.Message) error {
	number, kind, n := protowire.ConsumeTag(m.ProtoReflect().GetUnknown())
	if n < 0 || number != markField || kind != protowire.BytesType {
		return nil
	}
	path, _ := protowire.ConsumeString(m.ProtoReflect().GetUnknown()[n:])
	if path == "" {
		return errs.Invalid("", "the request is not a valid message")
	}
	return errs.Invalid(path, "is not valid UTF-8")
}

// findBadText is the path of the first string of the encoded message that is
// not UTF-8, or "".
func findBadText(desc protoreflect.MessageDescriptor, data []byte) string {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return ""
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return ""
		}
		fd := desc.Fields().ByNumber(number)
		if fd != nil && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data[n:])
			if path := join(string(fd.Name()), badText(fd, value)); path != "" {
				return path
			}
		}
		data = data[n+size:]
	}
	return ""
}

func badText(fd protoreflect.FieldDescriptor, value []byte) string {
	switch {
	case fd.Kind() == protoreflect.StringKind && !utf8.Valid(value):
		return here
	case fd.Kind() == protoreflect.MessageKind:
		return findBadText(fd.Message(), value)
	}
	return ""
}

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

// codec is gRPC's own, except that a request that is too large or cannot be decoded
// reaches the interceptors, marked, instead of ending the call there and then as
// ResourceExhausted or Internal: it is the caller's fault, the same bytes are no better
// later, and it is logged like any other.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if data.Len() > maxMessage {
		mark(m, tooLarge, largestField(m.ProtoReflect().Descriptor(), data.Materialize()))
		return nil
	}
	if err := c.CodecV2.Unmarshal(data, v); err != nil {
		mark(m, notText, findBadText(m.ProtoReflect().Descriptor(), data.Materialize()))
	}
	return nil
}

// What is wrong with a message that codec has marked: the number of an unknown field
// that holds the path of the field to blame, if one is. No proto may use them for
// anything smaller than the largest numbers there are; a caller who sends them only
// has the call refused.
const (
	notText  = protowire.MaxValidNumber
	tooLarge = protowire.MaxValidNumber - 1
)

func mark(m proto.Message, wrong protowire.Number, path string) {
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, wrong, protowire.BytesType), path))
}

// unreadable is the error for a message that codec has marked.
func unreadable(m proto.Message) error {
	number, kind, n := protowire.ConsumeTag(m.ProtoReflect().GetUnknown())
	if n < 0 || number < tooLarge || kind != protowire.BytesType {
		return nil
	}
	path, _ := protowire.ConsumeString(m.ProtoReflect().GetUnknown()[n:])
	switch {
	case number == tooLarge:
		return errs.Invalid(path, "is too large: a request may have %d bytes", maxMessage)
	case path == "":
		return errs.Invalid("", "the request is not a valid message")
	}
	return errs.Invalid(path, "is not valid UTF-8")
}

// largestField is the name of the field that takes most of the encoded message, or "".
func largestField(desc protoreflect.MessageDescriptor, data []byte) string {
	sizes := map[protowire.Number]int{}
	var largest protowire.Number
	for len(data) > 0 {
		number, _, size := protowire.ConsumeField(data)
		if size < 0 {
			break
		}
		if sizes[number] += size; sizes[number] > sizes[largest] {
			largest = number
		}
		data = data[size:]
	}
	if fd := desc.Fields().ByNumber(largest); fd != nil {
		return string(fd.Name())
	}
	return ""
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

package rpc_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// The note service exists only here: one method of each kind of rule, and one
// service without rules. It is made by hand, since pkg knows no service's proto.

const noteService = "tenantpilot.note.v1.NoteService"

// spans are those of all tests.
var spans = tracetest.NewSpanRecorder()

func TestMain(m *testing.M) {
	file, err := protodesc.NewFile(noteFile(), protoregistry.GlobalFiles)
	if err == nil {
		err = protoregistry.GlobalFiles.RegisterFile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	rpctest.VerifyNoLeaks(m)
}

func noteFile() *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{
		Name: proto.String("tenantpilot/note/v1/note.proto"), Package: proto.String("tenantpilot.note.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/struct.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Note"), Field: []*descriptorpb.FieldDescriptorProto{
				field("workspace_id", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64, nil),
				field("id", 2, descriptorpb.FieldDescriptorProto_TYPE_INT64, nil),
				field("body", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING, &validate.FieldRules{
					Type: &validate.FieldRules_String_{String_: &validate.StringRules{MaxLen: proto.Uint64(5_000_000)}}}),
				field("limit", 4, descriptorpb.FieldDescriptorProto_TYPE_INT32, &validate.FieldRules{
					Type: &validate.FieldRules_Int32{Int32: &validate.Int32Rules{GreaterThan: &validate.Int32Rules_Gte{Gte: 0}}}}),
				message("context", 5, ".google.protobuf.Struct"),
				repeated(field("tags", 6, descriptorpb.FieldDescriptorProto_TYPE_STRING, &validate.FieldRules{
					Type: &validate.FieldRules_Repeated{Repeated: &validate.RepeatedRules{Items: &validate.FieldRules{
						Type: &validate.FieldRules_String_{String_: &validate.StringRules{MaxLen: proto.Uint64(10)}}}}}})),
				repeated(message("replies", 7, ".tenantpilot.note.v1.Note")),
			}},
			{Name: proto.String("CreateNoteRequest"), Field: []*descriptorpb.FieldDescriptorProto{
				field("workspace_id", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64, nil),
				field("request_id", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING, nil),
			}},
			{Name: proto.String("BatchWriteNotesRequest"), Field: []*descriptorpb.FieldDescriptorProto{unchecked(message("notes", 1, ".tenantpilot.note.v1.Note"))}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{
			{Name: proto.String("NoteService"), Method: []*descriptorpb.MethodDescriptorProto{
				rpcMethod("GetNote", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_OBJECT, Capability: authzv1.Capability_CAPABILITY_VIEW, Callers: []string{"gateway", "inventory"}, Resource: "note"}),
				rpcMethod("CreateNote", "CreateNoteRequest", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_WORKSPACE, Capability: authzv1.Capability_CAPABILITY_OPERATE, Callers: []string{"gateway", "inventory"}, Resource: "workspace"}),
				rpcMethod("WriteNote", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_WORKSPACE, Capability: authzv1.Capability_CAPABILITY_OPERATE, Callers: []string{"gateway", "inventory"}, Resource: "workspace"}),
				rpcMethod("BatchWriteNotes", "BatchWriteNotesRequest", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_OBJECT, Capability: authzv1.Capability_CAPABILITY_OPERATE, Callers: []string{"gateway", "inventory"}, Resource: "workspace"}),
				rpcMethod("Ping", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_NONE, Callers: []string{"gateway", "operator"}}),
				streaming(rpcMethod("WatchNotes", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_WORKSPACE, Capability: authzv1.Capability_CAPABILITY_VIEW, Callers: []string{"gateway", "inventory"}, Resource: "workspace"})),
			}},
			{Name: proto.String("LawlessService"), Method: []*descriptorpb.MethodDescriptorProto{
				rpcMethod("NoRule", "Note", nil),
				rpcMethod("NoScope", "Note", &authzv1.Rule{Callers: []string{"gateway"}}),
				rpcMethod("NoCaller", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_NONE}),
				rpcMethod("NoGroup", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_NONE, CallerGroups: []string{"bakers"}}),
				rpcMethod("NoCapability", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_OBJECT, Callers: []string{"gateway"}, Resource: "note"}),
				rpcMethod("NoResource", "Note", &authzv1.Rule{Scope: authzv1.Scope_SCOPE_OBJECT, Capability: 1, Callers: []string{"gateway"}}),
			}},
		},
	}
}

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, rules *validate.FieldRules) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{
		Name: proto.String(name), Number: proto.Int32(number), Type: kind.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if rules != nil {
		f.Options = &descriptorpb.FieldOptions{}
		proto.SetExtension(f.Options, validate.E_Field, rules)
	}
	return f
}

func message(name string, number int32, typeName string) *descriptorpb.FieldDescriptorProto {
	f := field(name, number, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, nil)
	f.TypeName = proto.String(typeName)
	return f
}

func repeated(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return f
}

// unchecked returns a repeated field whose rule leaves checking the elements to the
// handler.
func unchecked(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Options = &descriptorpb.FieldOptions{}
	proto.SetExtension(f.Options, validate.E_Field, &validate.FieldRules{Type: &validate.FieldRules_Repeated{
		Repeated: &validate.RepeatedRules{Items: &validate.FieldRules{Ignore: validate.Ignore_IGNORE_ALWAYS.Enum()}}}})
	return repeated(f)
}

func rpcMethod(name, input string, rule *authzv1.Rule) *descriptorpb.MethodDescriptorProto {
	m := &descriptorpb.MethodDescriptorProto{
		Name: proto.String(name), InputType: proto.String(".tenantpilot.note.v1." + input), OutputType: proto.String(".tenantpilot.note.v1.Note"),
	}
	if rule != nil {
		m.Options = &descriptorpb.MethodOptions{}
		proto.SetExtension(m.Options, authzv1.E_Rule, rule)
	}
	return m
}

func streaming(m *descriptorpb.MethodDescriptorProto) *descriptorpb.MethodDescriptorProto {
	m.ServerStreaming = proto.Bool(true)
	return m
}

// newMessage makes a message of the note proto with fields set.
func newMessage(name string, fields map[string]any) *dynamicpb.Message {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("tenantpilot.note.v1." + name))
	if err != nil {
		panic(err)
	}
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor)) //nolint:forcetypeassert // the file above
	for key, value := range fields {
		set(m, key, value)
	}
	return m
}

func set(m *dynamicpb.Message, key string, value any) {
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(key))
	switch v := value.(type) {
	case []string:
		list := m.Mutable(fd).List()
		for _, s := range v {
			list.Append(protoreflect.ValueOfString(s))
		}
	case *dynamicpb.Message:
		m.Mutable(fd).List().Append(protoreflect.ValueOfMessage(v))
	case *structpb.Struct:
		m.Set(fd, protoreflect.ValueOfMessage(v.ProtoReflect()))
	default:
		m.Set(fd, protoreflect.ValueOf(v))
	}
}

func note(fields map[string]any) *dynamicpb.Message { return newMessage("Note", fields) }

// handlers answer the note service's methods by name.
type handlers map[string]func(ctx context.Context, req *dynamicpb.Message) error

// register serves the methods of h under service.
func register(service string, h handlers) func(grpc.ServiceRegistrar) {
	desc := &grpc.ServiceDesc{ServiceName: service}
	for name, handle := range h {
		if name == "WatchNotes" {
			desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name, ServerStreams: true, Handler: func(_ any, ss grpc.ServerStream) error {
				req := note(nil)
				if err := ss.RecvMsg(req); err != nil {
					return err
				}
				if err := handle(ss.Context(), req); err != nil {
					return err
				}
				return ss.SendMsg(req)
			}})
			continue
		}
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name, Handler: unaryHandler(service, name, handle)})
	}
	return func(r grpc.ServiceRegistrar) { r.RegisterService(desc, nil) }
}

func unaryHandler(service, name string, handle func(context.Context, *dynamicpb.Message) error) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		input := "Note"
		if name == "CreateNote" || name == "BatchWriteNotes" {
			input = name + "Request"
		}
		req := newMessage(input, nil)
		if err := decode(req); err != nil {
			return nil, err
		}
		return intercept(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/" + service + "/" + name}, func(ctx context.Context, _ any) (any, error) {
			return note(nil), handle(ctx, req)
		})
	}
}

func call(ctx context.Context, conn *grpc.ClientConn, method string, req proto.Message) error {
	return conn.Invoke(ctx, "/"+noteService+"/"+method, req, note(nil))
}

func ok(context.Context, *dynamicpb.Message) error { return nil }

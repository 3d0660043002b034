package rpc_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func TestABadRequestIsNamedByItsFields(t *testing.T) {
	t.Parallel()
	s := notes(t)
	context := func(v map[string]any) map[string]any {
		st, err := structpb.NewStruct(v)
		require.NoError(t, err)
		return map[string]any{"workspace_id": int64(1), "context": st}
	}
	tests := map[string]struct {
		req  map[string]any
		want []string
	}{
		"a broken rule":       {map[string]any{"workspace_id": int64(1), "limit": int32(-1)}, []string{"limit"}},
		"two broken rules":    {map[string]any{"workspace_id": int64(1), "limit": int32(-1), "tags": []string{"ok", "much too long"}}, []string{"limit", "tags[1]"}},
		"a rule broken below": {map[string]any{"workspace_id": int64(1), "replies": note(map[string]any{"limit": int32(-1)})}, []string{"replies[0].limit"}},
		"no workspace":        {nil, []string{"workspace_id"}},
		"NUL":                 {map[string]any{"workspace_id": int64(1), "body": "a\x00b"}, []string{"body"}},
		"NUL in a list":       {map[string]any{"workspace_id": int64(1), "tags": []string{"a", "\x00"}}, []string{"tags[1]"}},
		"NUL in a message":    {map[string]any{"workspace_id": int64(1), "replies": note(map[string]any{"body": "\x00"})}, []string{"replies[0].body"}},
		"NUL in JSON":         {context(map[string]any{"a": map[string]any{"b": []any{"x", "\x00"}}}), []string{`context.fields["a"].struct_value.fields["b"].list_value.values[1].string_value`}},
		"NUL in a JSON key":   {context(map[string]any{"a\x00": 1}), []string{`context.fields["a\x00"]`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := call(t.Context(), s.Dial(t, "inventory"), "WriteNote", note(tt.req))
			require.Equal(t, codes.InvalidArgument, errs.Code(err), "%v", err)
			e, _ := errs.As(err)
			var got []string
			for _, f := range e.Fields() {
				got = append(got, f.Path)
				require.NotEmpty(t, f.Description)
			}
			require.ElementsMatch(t, tt.want, got)
		})
	}
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil //nolint:forcetypeassert // a test's own
}

func (raw) Unmarshal(mem.BufferSlice, any) error { return nil }

func TestBytesThatAreNoRequestAreTheCallersFault(t *testing.T) {
	t.Parallel()
	s := notes(t)
	text := func(number protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), v)
	}
	workspace := slices.Clip(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))
	tests := map[string]struct {
		body []byte
		want string // the field named
	}{
		"noise":                    {[]byte("\xff\xff\xff\xff"), ""},
		"cut short":                {text(3, "hello")[:4], ""},
		"not UTF-8":                {append(workspace, text(3, "a\xff")...), "body"},
		"not UTF-8, in a list":     {append(workspace, text(6, "\xed\xa0\x80")...), "tags"},
		"not UTF-8, in a message":  {append(workspace, text(7, string(text(3, "\xc0\x80")))...), "replies.body"},
		"not UTF-8, in a JSON key": {append(workspace, text(5, string(text(1, string(text(1, "\xff")))))...), "context.fields.key"},
		"our own mark":             {append(workspace, text(protowire.MaxValidNumber, "x")...), "x"},
		"our other mark":           {append(workspace, text(protowire.MaxValidNumber-1, "x")...), "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := s.Dial(t, "inventory").Invoke(t.Context(), "/"+noteService+"/WriteNote", tt.body, nil, grpc.ForceCodecV2(raw{}))
			require.Equal(t, codes.InvalidArgument, errs.Code(err), "%v", err)
			require.Contains(t, s.Logs(), "code=InvalidArgument", "such a call is logged like any other")
			e, _ := errs.As(err)
			if tt.want == "" {
				require.Empty(t, e.Fields())
				return
			}
			require.Equal(t, tt.want, e.Fields()[0].Path)
		})
	}
}

func TestARequestMayBeFourMebibytes(t *testing.T) {
	t.Parallel()
	s := notes(t)
	conn := s.Dial(t, "inventory")
	sized := func(size int) proto.Message {
		overhead := proto.Size(note(map[string]any{"workspace_id": int64(1), "body": strings.Repeat("a", size)})) - size
		return note(map[string]any{"workspace_id": int64(1), "body": strings.Repeat("a", size-overhead)})
	}
	require.NoError(t, call(t.Context(), conn, "WriteNote", sized(4<<20)))
	err := call(t.Context(), conn, "WriteNote", sized(4<<20+1))
	require.Equal(t, codes.InvalidArgument, errs.Code(err), "to send it again is of no use: %v", err)
	e, _ := errs.As(err)
	require.Equal(t, "body", e.Fields()[0].Path)
	require.Contains(t, s.Logs(), "code=InvalidArgument", "such a call is logged like any other")
	require.Equal(t, codes.ResourceExhausted, errs.Code(call(t.Context(), conn, "WriteNote", sized(32<<20+1))), "nobody reads as much")
}

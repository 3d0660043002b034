package api

import (
	"encoding/json"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
)

func anyValue() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.String().AsAny(), rapid.StringMatching(`[a-z<>&"\\/ \x{2028}é]*`).AsAny(),
		rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1e20, 1e21, 1e-7, 1 << 53, math.MaxFloat64}).AsAny(),
	)
	return rapid.OneOf(leaf, rapid.SliceOfN(leaf, 0, 3).AsAny(), rapid.MapOfN(rapid.String(), rapid.OneOf(leaf, rapid.MapOfN(rapid.String(), leaf, 0, 2).AsAny()), 0, 3).AsAny())
}

// A context has the same JSON as with encoding/json. It is stored and compared as bytes.
func TestContextsAreWrittenAndReadAsByTheLibraries(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(rapid.MapOfN(rapid.String(), anyValue(), 0, 5).Draw(t, "context"))
		require.NoError(t, err)
		want := &structpb.Struct{}
		require.NoError(t, protojson.Unmarshal(raw, want))
		require.True(t, proto.Equal(want, object(raw)), "%s: %v", raw, object(raw))

		spaced, err := json.MarshalIndent(json.RawMessage(raw), " ", "\t")
		require.NoError(t, err)
		require.True(t, proto.Equal(want, object(spaced)), "%s", spaced)

		written, err := json.Marshal(want.AsMap())
		require.NoError(t, err)
		require.Equal(t, string(written), string(appendObject(nil, want)))
	})
}

func TestWhatIsNoObjectIsNone(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "null", "[]", "1", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":}`, `{"a":1,}`, `{"a":1}}`, `{"a":1e999}`, `{"a":[1}`, `{"a":"\x"}`, `{"a\`, `{"a":tru}`, `{a:1}`,
	} {
		require.Nil(t, object(json.RawMessage(raw)), raw)
	}
}

// A token that has expired is refused with another reason than one that was never valid:
// its client has done nothing wrong and begins a new watch.
func TestAResumeTokenIsTooOldAfterADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pages, err := page.NewSealer(page.RandomKey())
		require.NoError(t, err)
		s := resumption{pages: pages, binding: "this watch"}
		token, err := s.seal(snapshot.Position{ID: 7})
		require.NoError(t, err)
		<-time.After(23 * time.Hour)
		at, err := s.open(token)
		require.NoError(t, err)
		require.EqualValues(t, 7, at.ID)
		<-time.After(2 * time.Hour)
		_, err = s.open(token)
		require.Equal(t, codes.OutOfRange, errs.Code(err))
		require.Equal(t, "RESUME_TOKEN_TOO_OLD", errs.Reason(err))
	})
}

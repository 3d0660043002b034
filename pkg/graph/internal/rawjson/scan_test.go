package rawjson

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjsontest"
)

// The scanner sees what encoding/json sees.
func TestScanner_agreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rawjsontest.Tree(4).Draw(t, "value")
		raw := rawjsontest.Render(v, rapid.Uint64().Draw(t, "seed"))
		require.Equal(t, v == nil, Begins(raw) == 'n')

		object := make(map[string]json.RawMessage)
		for key, value := range Fields(raw) {
			object[key] = value
		}
		want := make(map[string]json.RawMessage)
		if _, ok := v.(map[string]any); ok {
			require.NoError(t, json.Unmarshal(raw, &want))
		}
		require.Equal(t, want, object)

		var array, wantArray []json.RawMessage
		for value := range Elements(raw) {
			array = append(array, value)
		}
		if in, ok := v.([]any); ok && len(in) > 0 {
			require.NoError(t, json.Unmarshal(raw, &wantArray))
		}
		require.Equal(t, wantArray, array)

		s, _ := v.(string)
		require.Equal(t, s, Unquote(raw))
	})
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{"a\"\\":[1,{"b":"\\\\"}],"c":-1e5}`, `["\ud83d\ude00\/", true ,null]`, ` "" `, `[[],{}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			t.Skip()
		}
		var want []json.RawMessage
		if json.Unmarshal(raw, &want) != nil {
			want = nil
		}
		i := 0
		for value := range Elements(raw) {
			if i >= len(want) || string(want[i]) != string(value) {
				t.Fatalf("element %d is %q", i, value)
			}
			i++
		}
		if i != len(want) {
			t.Fatalf("%d elements of %d", i, len(want))
		}
		for _, value := range Fields(raw) {
			if !json.Valid(value) {
				t.Fatalf("%q", value)
			}
		}
		Unquote(raw)
	})
}

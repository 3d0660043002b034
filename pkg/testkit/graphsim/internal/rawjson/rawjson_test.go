package rawjson

import (
	"encoding/json"
	"testing"
)

func TestCutKeepsEveryOtherByte(t *testing.T) {
	t.Parallel()
	const raw = "{\r\n  \"a\" : 1.0,\r\n  \"b\": {\"a\":2},\r\n\t\"c\":\"\\u00e4\" , \"d\":[ ]\r\n}"
	tests := map[string]struct {
		keys []string
		want string
	}{
		"first":   {[]string{"a"}, "{\r\n  \"b\": {\"a\":2},\r\n\t\"c\":\"\\u00e4\", \"d\":[ ]\r\n}"},
		"middle":  {[]string{"b"}, "{\r\n  \"a\" : 1.0,\r\n\t\"c\":\"\\u00e4\", \"d\":[ ]\r\n}"},
		"last":    {[]string{"d"}, "{\r\n  \"a\" : 1.0,\r\n  \"b\": {\"a\":2},\r\n\t\"c\":\"\\u00e4\"\r\n}"},
		"two":     {[]string{"a", "c"}, "{\r\n  \"b\": {\"a\":2}, \"d\":[ ]\r\n}"},
		"all":     {[]string{"a", "b", "c", "d"}, "{\r\n}"},
		"unknown": {[]string{"x"}, raw},
	}
	for name, tt := range tests {
		if got := string(Cut(json.RawMessage(raw), tt.keys...)); got != tt.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, tt.want)
		}
	}
}

func TestWithPropertyAndPrepend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ raw, key, value, want string }{
		{`{ "a":1 , "b":2}`, "a", `[3]`, `{ "a":[3] , "b":2}`},
		{`{ "a":1 , "b":2}`, "c", `"x"`, `{"c":"x", "a":1 , "b":2}`},
		{`{ }`, "c", `null`, `{"c":null }`},
		{`{"a":1,"a":2}`, "a", `3`, `{"a":1,"a":3}`},
	} {
		if got := string(WithProperty(json.RawMessage(tt.raw), tt.key, json.RawMessage(tt.value))); got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("%s with %s: %s, want %s", tt.raw, tt.key, got, tt.want)
		}
	}
}

// FuzzCut checks that cutting anything out of valid JSON leaves valid JSON that
// means the same less that property.
func FuzzCut(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[{"a":2}]}`, "{\"\\u0061\":1}", `{"a":1,"a":2 , "c":null}`, `{}`, `{"a@odata.type":"x","a":"\""}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var before map[string]json.RawMessage
		if json.Unmarshal([]byte(s), &before) != nil || before == nil {
			return
		}
		var after map[string]json.RawMessage
		out := Cut(json.RawMessage(s), "a")
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("cut made %q of %q: %v", out, s, err)
		}
		delete(before, "a")
		if len(before) != len(after) {
			t.Fatalf("cut made %q of %q", out, s)
		}
		for k, v := range before {
			if string(after[k]) != string(v) {
				t.Fatalf("%q: %s became %s", k, v, after[k])
			}
		}
	})
}

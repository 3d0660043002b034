package mapping

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCountsAreWholeNumbers(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]int64{
		`0`: 0, `12`: 12, `1.9`: 1, `"12"`: 12, `9223372036854775807`: 9223372036854775807, `9223372036854775807.5`: 9223372036854775807,
		`-0`: 0, `-0.0`: 0, `1e3`: 1000,
	} {
		n, ok := whole(decode([]byte(doc)))
		require.True(t, ok, doc)
		require.Equal(t, want, n, doc)
	}
	for _, doc := range []string{
		`-1`, `-0.5`, `9223372036854775808`, `1e30`, `"-1"`, `"1.5"`, `" 1"`, `""`, `"x"`, `"1234567890123456789"`, `true`, `null`, `[1]`, `{"n": 1}`,
	} {
		_, ok := whole(decode([]byte(doc)))
		require.False(t, ok, doc)
	}
}

func TestItemsOfARestoreAreCounted(t *testing.T) {
	t.Parallel()
	for results, want := range map[string][2]int64{ // total, succeeded
		``:                              {0, 0},
		`null`:                          {0, 0},
		`"text"`:                        {0, 0},
		`{}`:                            {0, 0},
		`{"items": "text"}`:             {0, 0},
		`{"items": []}`:                 {0, 0},
		`[{"ok": true}, {"ok": false}]`: {2, 1},
		`{"items": [{"success": true}, {"status": "Applied"}, {"status": "failed"}]}`: {3, 2},
		`{"items": {"12": {"status": "created"}, "15": {"status": "skipped"}}}`:       {2, 1},
		`[{"ok": null, "success": true}, {"ok": false, "status": "applied"}]`:         {2, 1},
		`["success", true, false, null, 1, "", {}, []]`:                               {8, 2},
		`[{"status": "completed_with_errors"}, {"status": "dry_run"}]`:                {2, 1},
	} {
		got := restored(json.RawMessage(results))
		require.Equal(t, map[string]int64{"total": want[0], "succeeded": want[1], "failed": want[0] - want[1]}, got, results)
	}
}

func TestCodesOfFailures(t *testing.T) {
	t.Parallel()
	for codes, want := range map[string][]string{
		``: nil, `null`: nil, `{}`: nil, `[]`: nil, `true`: nil,
		`"one"`:                          {"one"},
		`["one", "two"]`:                 {"one", "two"},
		`[403, 429.5]`:                   {"403", "429.5"},
		`[{"code": "one"}, {"code": 2}]`: {"one", "2"},
		`{"code": "one"}`:                {"one"},
		`[null, true, [], {}, {"code": {"code": "deep"}}, {"message": "x"}]`: nil,
	} {
		var got []string
		for _, f := range coded(json.RawMessage(codes)) {
			require.Equal(t, Failure{Code: f.Code, ReasonCode: "unknown"}, f)
			got = append(got, f.Code)
		}
		require.Equal(t, want, got, codes)
	}
}

func TestMessagesAreCutAtCodePoints(t *testing.T) {
	t.Parallel()
	for _, letter := range []string{"a", "ß", "李", "😀"} {
		long := strings.Repeat(letter, 4000)
		require.Equal(t, strings.Repeat(letter, 120), failed(&letter, nil, &long)[0].Message)
		require.Equal(t, strings.Repeat(letter, 255), named(&long, ""))
	}
	short := strings.Repeat("😀", 120)
	require.Equal(t, short, cut(short, 120))
}

func TestOnlyTimesInUTCAreInputs(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2026-01-05T03:00:00+00:00":       "2026-01-05T03:00:00+00:00",
		"2026-01-05 03:00:00Z":            "2026-01-05T03:00:00+00:00",
		"2026-01-05T03:00:00.123456+0000": "2026-01-05T03:00:00+00:00",
		"2026-01-05 03:00:00":             "2026-01-05T03:00:00+00:00", // the zone is UTC
		"2026-01-05T03:00:00+02:00":       "",
		"2026-01-05":                      "",
		"tomorrow":                        "",
	} {
		got, ok := utc(at, "UTC")
		require.Equal(t, want, got, at)
		require.Equal(t, want != "", ok, at)
	}
	_, ok := utc("2026-01-05 03:00:00", "Europe/Berlin")
	require.False(t, ok)
}

func TestDifferencesAreNamed(t *testing.T) {
	t.Parallel()
	r := InventorySync{Row: Row{ID: 1}, SelectionPayload: []byte(`{"n": 1.0, "list": [1, "x", null]}`)}
	m, same := r.Map(Takeover{}), r.Map(Takeover{})
	same.Context["selection_payload"] = decode([]byte(`{"n": 1, "list": [1, "x", null]}`))
	require.Empty(t, m.Differences(same))
	same.Context["selection_payload"] = decode([]byte(`{"n": 1, "list": [2, "x", null]}`))
	same.Outcome, same.IdentityHash, same.CompletedAt = "succeeded", []byte("x"), nil
	require.Equal(t, []string{"completed_at", "context", "outcome", "run_identity_hash"}, m.Differences(same))
}

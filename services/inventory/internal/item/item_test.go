package item_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

func TestWhatSeeingAnObjectMeans(t *testing.T) {
	t.Parallel()
	const run = 9
	same, other := [32]byte{1}, [32]byte{2}
	tests := map[string]struct {
		known   *item.Known
		hash    [32]byte
		change  item.Change
		version int32
	}{
		"not known":                    {known: nil, hash: same, change: item.Created, version: 1},
		"as before":                    {known: &item.Known{Version: 3, Hash: same, VersionRun: 5}, hash: same, change: item.Unchanged},
		"changed":                      {known: &item.Known{Version: 3, Hash: same, VersionRun: 5}, hash: other, change: item.Updated, version: 4},
		"back as it was":               {known: &item.Known{Version: 3, Hash: same, VersionRun: 5, Removed: true}, hash: same, change: item.Created},
		"back and changed":             {known: &item.Known{Version: 3, Hash: same, VersionRun: 5, Removed: true}, hash: other, change: item.Created, version: 4},
		"created by an attempt before": {known: &item.Known{Version: 1, Hash: same, VersionRun: run}, hash: same, change: item.Created},
		"updated by an attempt before": {known: &item.Known{Version: 2, Hash: same, VersionRun: run}, hash: same, change: item.Updated},
		"created, then changed":        {known: &item.Known{Version: 1, Hash: same, VersionRun: run}, hash: other, change: item.Created, version: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change, version := tt.known.See(item.Seen{Hash: tt.hash}, run)
			require.Equal(t, tt.change, change)
			require.Equal(t, tt.version, version)
		})
	}
}

func TestSelections(t *testing.T) {
	t.Parallel()
	catalog := []string{"a", "b", "c"}
	all, err := item.Select(nil, catalog)
	require.NoError(t, err)
	require.Equal(t, item.Selection{"a", "b", "c"}, all)
	some, err := item.Select([]string{"c", "a", "c"}, catalog)
	require.NoError(t, err)
	require.Equal(t, item.Selection{"a", "c"}, some)
	turned, err := item.Select([]string{"a", "c"}, catalog)
	require.NoError(t, err)
	require.Equal(t, some.Hash(), turned.Hash())
	require.NotEqual(t, some.Hash(), all.Hash())
	// sha256 of ["a","c"]: the identity of runs in the store, never to change.
	require.Equal(t, "87494a1b580146b76dc4a0a3dba956cf3dc59c5a1d1e55bc177a29f47beb0c81", some.Hash())

	_, err = item.Select([]string{"a", "x"}, catalog)
	e, ok := errs.As(err)
	require.True(t, ok)
	require.Equal(t, "types[1]", e.Fields()[0].Path)
}

func TestContextOfARun(t *testing.T) {
	t.Parallel()
	s := item.Selection{"a"}
	got, err := json.Marshal(s.Context(12))
	require.NoError(t, err)
	require.JSONEq(t, `{"inputs":{"selection_hash":"`+s.Hash()+`","types":["a"]},"trigger":"schedule","sync_schedule_id":"12"}`, string(got))
	require.Equal(t, "manual", s.Context(0)["trigger"])
	require.Equal(t, []string(s), item.TypesOf(s.Context(12)))
	require.Empty(t, item.TypesOf(map[string]any{"inputs": map[string]any{"types": "spoiled"}}))
}

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary run as the services that are measured.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], servePrefix) {
		main()
		return
	}
	os.Exit(m.Run())
}

// A round works, no watcher misses a change, and the report is complete. The numbers mean
// nothing at this size.
func TestARound(t *testing.T) {
	t.Parallel()
	opts, err := parse([]string{"-short"})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, bench(t.Context(), opts, &out), out.String())
	t.Log(out.String())
	for _, want := range []string{
		"run pages, at once", "run pages, coalesced", "run pages, from event time", "workspace streams, at once", "workspace streams, coalesced",
		"workspace streams, from event time", "gateway ", "goroutines", " 0 out of order", "p99 ≤ 250ms",
	} {
		require.Contains(t, out.String(), want)
	}
}

// A watcher that misses a change, or gets one late or twice, is found.
func TestWhatIsMissingOrOutOfOrderCounts(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	done := &run{id: 7}
	for n := range 4 {
		done.said(begin.Add(time.Duration(n) * time.Second))
	}
	tests := map[string]struct {
		from               int
		states             []int
		received, disorder int
	}{
		"everything":        {-1, []int{0, 1, 2, 3}, 4, 0},
		"coalesced":         {-1, []int{0, 2, 3}, 4, 0},
		"not the beginning": {1, []int{2, 3}, 2, 0},
		"not the end":       {-1, []int{0, 1, 2}, 3, 0},
		"nothing":           {-1, nil, 0, 0},
		"backwards":         {-1, []int{0, 2, 1, 3}, 4, 1},
		"after the end":     {-1, []int{3, 2}, 4, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := view{page: true, run: 7, from: tt.from}
			for _, state := range tt.states {
				v.seen = append(v.seen, sighting{run: 7, state: state, at: time.Now()})
			}
			r := &result{}
			r.compare([]*run{done}, []view{v}, nil)
			require.Equal(t, 3-tt.from, r.expected)
			require.Equal(t, tt.received, r.received)
			require.Equal(t, tt.disorder, r.disorder)
			if tt.received < r.expected || tt.disorder > 0 {
				require.Error(t, r.complete())
			} else {
				require.NoError(t, r.complete())
			}
		})
	}
}

// States are parsed correctly out of frames.
func TestStatesAreReadOutOfFrames(t *testing.T) {
	t.Parallel()
	running := []byte(`{"run":{"id":"42", "workspace_id":"1", "status": "RUN_STATUS_RUNNING", "summary_counts":{"processed": "3","total":"8"}}}`)
	require.EqualValues(t, 42, runOf(running))
	require.Equal(t, 3, stateOf(running, 9))
	require.Equal(t, 9, stateOf([]byte(`{"run":{"id":"42","status":"RUN_STATUS_COMPLETED"}}`), 9))
	require.Equal(t, 5, shownState([]byte(`<div data-word="Running"><progress max="8" value="5">`), 9))
	require.Equal(t, 9, shownState([]byte(`<div data-word="Succeeded">`), 9))
	require.Equal(t, 0, shownState([]byte(`<div data-word="Running"><progress>`), 9))
}

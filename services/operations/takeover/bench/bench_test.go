package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the tool that is measured.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == toolArgument {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every turn works and writes the same rows. The numbers mean nothing at this size.
func TestAllTurnsLeaveTheSameRows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, benchmark(t.Context(), []string{"-short"}, &out))
	for _, want := range []string{
		toolOnOne + ", round 1", "verify --all", toolOnOne + " / " + peerOnOne, toolAcross + " / " + peerAcross,
		"all 4 turns left the same rows",
	} {
		require.Contains(t, out.String(), want)
	}
}

// A contender that writes fewer rows, or other rows, is found.
func TestLessWorkIsNotComparable(t *testing.T) {
	t.Parallel()
	of := func(unlinked int64, events string) []score {
		return []score{{left: state{imported: 3, unlinked: unlinked, digests: map[string]string{"run_event": events}}}}
	}
	require.NoError(t, sameRows(results{turns: map[string][]score{toolOnOne: of(0, "3 rows"), peerOnOne: of(0, "3 rows")}}))
	require.ErrorContains(t, sameRows(results{turns: map[string][]score{toolOnOne: of(0, "3 rows"), peerOnOne: of(0, "2 rows")}}), "run_event")
	require.ErrorContains(t, sameRows(results{turns: map[string][]score{toolOnOne: of(1, "3 rows")}}), "1 rows have none")
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	of := func(seconds ...int) (turns []score) {
		for _, n := range seconds {
			turns = append(turns, score{elapsed: time.Duration(n) * time.Second})
		}
		return turns
	}
	all := results{turns: map[string][]score{toolOnOne: of(30, 8), peerOnOne: of(10, 4)}}
	require.Equal(t, []float64{2, 3}, goal{of: toolOnOne, against: peerOnOne}.ratios(all))
	require.Empty(t, goal{of: toolAcross, against: peerAcross}.ratios(all))
}

package snapshot

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWhatASnapshotSees(t *testing.T) {
	t.Parallel()
	s, err := Parse("100:105:101,103")
	require.NoError(t, err)
	require.Equal(t, "100:105:101,103", s.String())
	for tx, seen := range map[uint64]bool{1: true, 99: true, 100: true, 101: false, 102: true, 103: false, 104: true, 105: false, 200: false} {
		require.Equal(t, seen, s.Sees(tx), tx)
	}
	for _, bad := range []string{"", "1:2", "x:2:", "1:2:x", "1:2:3:4"} {
		_, err := Parse(bad)
		require.Error(t, err, bad)
	}
}

// A snapshot does not claim to see a transaction number that may be used again after a crash.
func TestASnapshotUpToTheLastEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		last int64
		want string
	}{{0, "1:1:"}, {50, "51:51:"}, {100, "100:101:"}, {102, "100:103:101"}, {103, "100:104:101,103"}, {104, "100:105:101,103"}, {200, "100:105:101,103"}} {
		s, err := Parse("100:105:101,103")
		require.NoError(t, err)
		require.Equal(t, tt.want, s.UpTo(tt.last).String(), tt.last)
	}
}

func TestThereIsANewerSnapshot(t *testing.T) {
	t.Parallel()
	texts := []string{"100:105:100,103", "100:105:100", "105:105:", "105:109:105,107", "107:109:107", "109:109:"} // in the order of time
	for i, older := range texts {
		for j, newer := range texts {
			a, err := Parse(older)
			require.NoError(t, err)
			b, err := Parse(newer)
			require.NoError(t, err)
			require.Equal(t, j > i, b.Newer(a), "%s after %s", newer, older)
		}
	}
}

// A reader that has been told more goes on after what it was told.
func TestAPositionForWhoKnowsMore(t *testing.T) {
	t.Parallel()
	at := func(text string) Snapshot {
		s, err := Parse(text)
		require.NoError(t, err)
		return s
	}
	within := Position{After: at("100:105:101"), Until: at("107:110:108"), ID: 7}
	require.Equal(t, within, within.From(at("100:105:101")))
	require.Equal(t, Position{After: at("105:106:"), Until: within.Until, ID: 7}, within.From(at("105:106:")))
	require.Equal(t, Position{After: at("110:110:")}, within.From(at("110:110:")), "all of it, and more")
	require.Equal(t, Position{After: at("110:110:")}, Position{After: at("107:107:")}.From(at("110:110:")))
}

func TestPositionsTravel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		p := Position{After: anySnapshot(r), ID: rapid.Int64().Draw(r, "id")}
		if rapid.Bool().Draw(r, "within") {
			p.Until = anySnapshot(r)
		}
		b, err := p.MarshalBinary()
		if err != nil {
			r.Fatal(err)
		}
		var back Position
		if err := back.UnmarshalBinary(b); err != nil {
			r.Fatal(err)
		}
		if back.ID != p.ID || back.After.String() != p.After.String() || back.Until.String() != p.Until.String() {
			r.Fatalf("%v became %v", p, back)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(r, "cut")
		if back.UnmarshalBinary(b[:cut]) == nil {
			r.Fatalf("%d of %d bytes are a position", cut, len(b))
		}
	})
}

func anySnapshot(r *rapid.T) Snapshot {
	s := Snapshot{xmin: rapid.Uint64Range(3, 1<<40).Draw(r, "xmin")}
	s.xmax = s.xmin + rapid.Uint64Range(0, 1000).Draw(r, "width")
	if s.xmax > s.xmin {
		s.running = rapid.SliceOfNDistinct(rapid.Uint64Range(s.xmin, s.xmax-1), 0, min(50, int(s.xmax-s.xmin)), rapid.ID).Draw(r, "running")
		slices.Sort(s.running)
	}
	return s
}

func FuzzPosition(f *testing.F) {
	f.Add([]byte{2, 100, 5, 1, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Position
		if p.UnmarshalBinary(b) == nil {
			_, err := p.MarshalBinary()
			require.NoError(t, err)
		}
	})
}

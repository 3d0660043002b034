package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChangingAScheduleMovesItsNextSlot(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		return when
	}
	now := at("2026-06-01T12:00:00Z")
	s, err := Schedule[string]{Cron: "0 6 * * *", Zone: "UTC"}.timed(now)
	require.NoError(t, err)
	require.Equal(t, at("2026-06-02T06:00:00Z"), *s.Next)

	yes, no, name, cron := true, false, "other", "0 18 * * *"
	later := at("2026-06-02T07:00:00Z")
	renamed, err := s.changed(Change{DisplayName: &name}, later)
	require.NoError(t, err)
	require.Equal(t, s.Next, renamed.Next, "a slot that is due stays due")
	moved, err := s.changed(Change{Cron: &cron}, now)
	require.NoError(t, err)
	require.Equal(t, at("2026-06-01T18:00:00Z"), *moved.Next)
	paused, err := s.changed(Change{Paused: &yes}, now)
	require.NoError(t, err)
	require.Nil(t, paused.Next)
	resumed, err := paused.changed(Change{Paused: &no}, later)
	require.NoError(t, err)
	require.Equal(t, at("2026-06-03T06:00:00Z"), *resumed.Next)
}

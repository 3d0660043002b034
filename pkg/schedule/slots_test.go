package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return when
}

func TestNextSlots(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cron, zone, after string
		want              []string
	}{
		"every day": {
			cron: "30 2 * * *", zone: "Europe/Berlin", after: "2026-06-01T00:00:00Z",
			want: []string{"2026-06-01T00:30:00Z", "2026-06-02T00:30:00Z"},
		},
		"a slot is not after itself": {
			cron: "30 2 * * *", zone: "UTC", after: "2026-06-01T02:30:00Z",
			want: []string{"2026-06-02T02:30:00Z"},
		},
		"the hour skipped in spring runs as it ends": {
			cron: "30 2 * * *", zone: "Europe/Berlin", after: "2026-03-28T12:00:00Z",
			want: []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		},
		"many skipped slots and the one after the gap are one": {
			cron: "*/20 * * * *", zone: "Europe/Berlin", after: "2026-03-29T00:30:00Z",
			want: []string{"2026-03-29T00:40:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"},
		},
		"the hour repeated in autumn runs the first time": {
			cron: "30 2 * * *", zone: "Europe/Berlin", after: "2026-10-24T12:00:00Z",
			want: []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		},
		"asked between the two, the second is not a slot": {
			cron: "30 2 * * *", zone: "Europe/Berlin", after: "2026-10-25T00:45:00Z",
			want: []string{"2026-10-26T01:30:00Z"},
		},
		"asked in the repeated hour": {
			cron: "*/20 * * * *", zone: "Europe/Berlin", after: "2026-10-25T01:10:00Z",
			want: []string{"2026-10-25T02:00:00Z", "2026-10-25T02:20:00Z"},
		},
		"New York in spring": {
			cron: "15 2 * * *", zone: "America/New_York", after: "2026-03-07T12:00:00Z",
			want: []string{"2026-03-08T07:00:00Z", "2026-03-09T06:15:00Z"},
		},
		"half an hour of daylight saving": {
			cron: "15 2 * * *", zone: "Australia/Lord_Howe", after: "2026-10-03T00:00:00Z",
			want: []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"},
		},
		"midnight that does not exist": {
			cron: "0 0 * * *", zone: "Africa/Cairo", after: "2026-04-23T12:00:00Z",
			want: []string{"2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		},
		"leap days": {
			cron: "0 0 29 2 *", zone: "UTC", after: "2026-01-01T00:00:00Z",
			want: []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"},
		},
		"either day will do, as in crontab": {
			cron: "0 0 1 * 1", zone: "UTC", after: "2026-06-01T12:00:00Z",
			want: []string{"2026-06-08T00:00:00Z", "2026-06-15T00:00:00Z", "2026-06-22T00:00:00Z", "2026-06-29T00:00:00Z", "2026-07-01T00:00:00Z"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			when := at(t, tt.after)
			slots, err := schedule.Parse(tt.cron, tt.zone, when)
			require.NoError(t, err)
			var got []string
			for range tt.want {
				when = slots.Next(when)
				got = append(got, when.Format(time.RFC3339))
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestBadExpressionsNameTheField(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ cron, zone, field string }{
		"no expression":     {cron: "", zone: "UTC", field: "cron"},
		"six fields":        {cron: "0 0 1 * * *", zone: "UTC", field: "cron"},
		"four fields":       {cron: "0 0 1 *", zone: "UTC", field: "cron"},
		"a word":            {cron: "@daily", zone: "UTC", field: "cron"},
		"a zone inside":     {cron: "CRON_TZ=Europe/Berlin 0 0 1 * *", zone: "UTC", field: "cron"},
		"a bare zone":       {cron: "TZ= 0 0 1 * *", zone: "UTC", field: "cron"},
		"out of range":      {cron: "60 0 * * *", zone: "UTC", field: "cron"},
		"31 February":       {cron: "0 0 31 2 *", zone: "UTC", field: "cron"},
		"30 February":       {cron: "0 0 30 2 *", zone: "UTC", field: "cron"},
		"letters":           {cron: "a b c d e", zone: "UTC", field: "cron"},
		"step of zero":      {cron: "*/0 * * * *", zone: "UTC", field: "cron"},
		"no zone":           {cron: "0 0 * * *", zone: "", field: "time_zone"},
		"the machine's":     {cron: "0 0 * * *", zone: "Local", field: "time_zone"},
		"no such zone":      {cron: "0 0 * * *", zone: "Mars/Olympus", field: "time_zone"},
		"a path for a zone": {cron: "0 0 * * *", zone: "../../etc/passwd", field: "time_zone"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schedule.Parse(tt.cron, tt.zone, at(t, "2026-06-01T00:00:00Z"))
			e, ok := errs.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tt.field, e.Fields()[0].Path)
		})
	}
}

// Every minute of two years, across four changes of the clocks: slots only go
// forward, and no reading of the wall clock is due twice.
func TestSlotsGoForwardAndEachReadingIsDueOnce(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	when := at(t, "2026-01-01T00:00:00Z")
	slots, err := schedule.Parse("*/10 * * * *", "Europe/Berlin", when)
	require.NoError(t, err)
	seen := map[string]bool{}
	for end := when.AddDate(2, 0, 0); when.Before(end); {
		next := slots.Next(when)
		require.True(t, next.After(when))
		reading := next.In(zone).Format("2006-01-02 15:04")
		require.False(t, seen[reading], reading)
		seen[reading], when = true, next
	}
	require.Len(t, seen, 730*144-2*6)
}

package schedule

import (
	"strings"
	"time"
	_ "time/tzdata" // a machine without time zones must not end every schedule

	cron "github.com/netresearch/go-cron"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Slots are the times of a cron expression in a time zone.
//
// A slot is a reading of the zone's wall clock, for example 02:30 in Berlin. On
// the day in spring on which the clocks skip 02:30 it is due when the skipped
// hour ends; on the day in autumn on which 02:30 comes twice it is due the first
// time only.
type Slots struct {
	wall cron.Schedule // read in UTC, where every reading occurs once
	zone *time.Location
}

const (
	mustHave = 5 // an expression with fewer slots is refused
	// The longest wait between two slots that exist: 29 February around 2100.
	searchYears = 8
)

// Parse reads a five-field cron expression and an IANA zone name. Errors name
// the fields cron and time_zone.
func Parse(expression, zone string, now time.Time) (Slots, error) {
	loc, err := location(zone)
	if err != nil {
		return Slots{}, err
	}
	// The library would also take a time zone or a word such as @daily here.
	if strings.ContainsAny(expression, "=@") || len(strings.Fields(expression)) != 5 {
		return Slots{}, errs.Invalid("cron", "must have five fields: minute, hour, day of month, month, day of week")
	}
	wall, err := parser().Parse(expression)
	if err != nil {
		return Slots{}, errs.Invalid("cron", "%v", err)
	}
	s := Slots{wall: wall, zone: loc}
	at := now
	for range mustHave {
		if at = s.Next(at); at.IsZero() {
			return Slots{}, errs.Invalid("cron", "names no date that exists")
		}
	}
	return s, nil
}

// parser reads the language of crontab: if both a day of the month and a day of
// the week are given, a date needs to match one of the two.
func parser() cron.Parser {
	return cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom).
		WithMaxSearchYears(searchYears)
}

// location loads a zone. It refuses names that mean different zones on different
// machines.
func location(zone string) (*time.Location, error) {
	if zone == "" || zone == "Local" {
		return nil, errs.Invalid("time_zone", "must be an IANA name, for example Europe/Berlin")
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, errs.Invalid("time_zone", "%q is not an IANA time zone", zone)
	}
	return loc, nil
}

// Next returns the first slot after t, in UTC. It returns the zero time if the
// expression names no further date within the years that are searched.
func (s Slots) Next(t time.Time) time.Time {
	wall := reading(t.In(s.zone))
	for {
		wall = s.wall.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if due := s.due(wall); due.After(t) {
			return due.UTC()
		}
	}
}

// reading returns what a clock on the wall shows at t, as a time in UTC.
func reading(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// due returns when the zone's clock first shows wall, or first shows a later
// reading if it skips wall.
func (s Slots) due(wall time.Time) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, s.zone)
	start, end := t.ZoneBounds()
	switch {
	case reading(t).Before(wall): // skipped, and t is before the gap
		return end
	case reading(t).After(wall): // skipped, and t is after the gap
		return start
	case start.IsZero():
		return t
	}
	// Shown for the second time if the clock before start shows it too.
	_, now := t.Zone()
	_, before := start.Add(-time.Second).Zone()
	if first := t.Add(time.Duration(now-before) * time.Second); first.Before(start) && before > now {
		return first
	}
	return t
}

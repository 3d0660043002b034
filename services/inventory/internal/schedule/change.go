package schedule

import "time"

// Schedule repeats a sync of a tenant.
type Schedule struct {
	ID          int64
	WorkspaceID int64
	TenantID    int64
	DisplayName string
	Types       []string // empty for all
	Cron        string
	Zone        string
	Paused      bool
	Next        *time.Time // the next slot; nil while paused
	LastSlot    *time.Time
	LastRun     *int64
	Created     time.Time
	Updated     time.Time
}

// Change is what to change of a schedule; nil leaves it as it is.
type Change struct {
	DisplayName, Cron, Zone *string
	Paused                  *bool
}

// Timed is s with the slot that is next after now, or Invalid if its
// expression or zone is none.
func (s Schedule) Timed(now time.Time) (Schedule, error) {
	slots, err := Parse(s.Cron, s.Zone, now)
	if err != nil {
		return s, err
	}
	s.Next = nil
	if !s.Paused {
		next := slots.Next(now)
		s.Next = &next
	}
	return s, nil
}

// Changed is s after c. What does not move its slots leaves the next one where it is.
func (s Schedule) Changed(c Change, now time.Time) (Schedule, error) {
	was := s
	assign(&s.DisplayName, c.DisplayName)
	assign(&s.Cron, c.Cron)
	assign(&s.Zone, c.Zone)
	assign(&s.Paused, c.Paused)
	if s.Cron == was.Cron && s.Zone == was.Zone && s.Paused == was.Paused {
		return s, nil
	}
	return s.Timed(now)
}

func assign[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// After is the slot after now, nil if there is none any more: then the
// schedule has nothing left to do.
func (s Schedule) After(now time.Time) *time.Time {
	slots, err := Parse(s.Cron, s.Zone, now)
	if err != nil {
		return nil // it was valid when stored: the zone is gone from this machine, or the calendar ran out
	}
	next := slots.Next(now)
	return &next
}

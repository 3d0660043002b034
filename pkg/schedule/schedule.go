// Package schedule starts work once per slot of a schedule, for any service:
// cron slots in a time zone, the tables of schedules and slots, and the pass that
// takes the slots that are due. It holds with any number of replicas and through
// any crash. What a slot starts is the service's: see [Store.Pass].
package schedule

import (
	"context"
	"embed"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

// Settings are what an operator may change of schedules.
type Settings struct {
	Every time.Duration `env:"SCHEDULE_EVERY" envDefault:"5s"` // between two looks for due slots
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the tables of schedules, their slots and the requests that made
// them; it is a service.Fragment.
func Migrate(ctx context.Context, ownerURL, appRole string) error {
	if err := once.Migrate(ctx, ownerURL, appRole); err != nil {
		return err
	}
	tables := []string{"schedule", "schedule_due"}
	return pg.Fragment{Name: "schedule", Migrations: migrations, Tables: tables}.Migrate(ctx, ownerURL, appRole)
}

// Schedule repeats work of a service. D is what the work is, the service's own;
// it is stored as JSON.
type Schedule[D any] struct {
	ID          int64
	WorkspaceID int64
	TenantID    int64 // 0 for work of the whole workspace
	DisplayName string
	Cron        string
	Zone        string // an IANA name
	Paused      bool
	Next        *time.Time // the next slot; nil while paused
	LastSlot    *time.Time
	LastRun     *int64
	Created     time.Time
	Updated     time.Time
	Details     D
}

// Request is what the requests that create schedules have.
type Request interface {
	GetWorkspaceId() int64
	GetTenantId() int64
	GetDisplayName() string
	GetCron() string
	GetTimeZone() string
	GetPaused() bool
}

// Of returns the schedule that a request asks for.
func Of[D any](req Request, details D) Schedule[D] {
	return Schedule[D]{
		WorkspaceID: req.GetWorkspaceId(), TenantID: req.GetTenantId(), DisplayName: req.GetDisplayName(),
		Cron: req.GetCron(), Zone: req.GetTimeZone(), Paused: req.GetPaused(), Details: details,
	}
}

// Change is what to change of a schedule; nil leaves it as it is.
type Change struct {
	DisplayName, Cron, Zone *string
	Paused                  *bool
}

// timed returns s with the slot that is next after now. Its error is Invalid if
// the expression or the zone is wrong.
func (s Schedule[D]) timed(now time.Time) (Schedule[D], error) {
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

// changed returns s after c. The next slot stays where it is unless c changes
// when slots are: a new name does not skip a slot that is due.
func (s Schedule[D]) changed(c Change, now time.Time) (Schedule[D], error) {
	was := s
	assign(&s.DisplayName, c.DisplayName)
	assign(&s.Cron, c.Cron)
	assign(&s.Zone, c.Zone)
	assign(&s.Paused, c.Paused)
	if s.Cron == was.Cron && s.Zone == was.Zone && s.Paused == was.Paused {
		return s, nil
	}
	return s.timed(now)
}

func assign[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// after returns the next slot after now of a schedule that is due. It returns nil if no
// slot follows: no pass takes such a schedule again.
func (s Schedule[D]) after(now time.Time) *time.Time {
	s, err := s.timed(now)
	if err != nil {
		return nil // it was valid when stored: this machine lacks the zone, or the calendar has run out
	}
	return s.Next
}

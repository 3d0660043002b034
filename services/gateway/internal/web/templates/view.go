// Package templates is the console's pages as components, and the views they
// show: everything already in words, nothing left to decide but the markup.
package templates

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Shell is what surrounds every page.
type Shell struct {
	Title   string
	CSS, JS string // addresses of the hashed files
	User    string // empty on pages for strangers
	Rooms   []Room // the user's workspaces
	Room    Room   // the current one; zero if none
}

// Room is a workspace to choose.
type Room struct {
	ID   string
	Name string
}

// Badge is a state as icon and word; Tone only colours it.
type Badge struct{ Tone, Icon, Word string }

// Moment is a point in time for a person: relative words, exact on hover.
type Moment struct{ ISO, Exact, Words string }

// MomentOf puts t in words as of now; the zero time has none.
func MomentOf(t, now time.Time) Moment {
	if t.IsZero() {
		return Moment{}
	}
	return Moment{
		ISO: t.UTC().Format(time.RFC3339), Exact: t.UTC().Format("2 Jan 2006, 15:04:05") + " UTC",
		Words: ago(now.Sub(t)),
	}
}

func ago(d time.Duration) string {
	switch {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	default:
		return fmt.Sprintf("%d days ago", d/(24*time.Hour))
	}
}

// Span is a duration in words of at most two units.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
}

// Number writes n with thin groups of three, exactly.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range s {
		if left := len(s) - i; i > 0 && left%3 == 0 && s[i-1] != '-' {
			b.WriteString("\u202f")
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Progress is how far a run is.
type Progress struct {
	Done, Total int64
	Known       bool // Total means something
	Words       string
}

// Counter is one number of a run.
type Counter struct{ Name, Value, Tone string }

// RunRow is a line of the list.
type RunRow struct {
	ID        string
	Badge     Badge
	Type      string
	Tenant    string
	Initiator string
	Active    bool
	Progress  Progress
	Failures  string
	Started   Moment
	Duration  string
	Attempt   string
}

// Option is a choice of a filter or form.
type Option struct {
	Value, Label string
	Chosen       bool
}

// Filter is one choice of the filter bar.
type Filter struct {
	Name, Label string
	Value       string // chosen
	Options     []Option
	Typed       bool // Options are not all there are: an id may be typed
}

// Operations is the list of runs.
type Operations struct {
	Shell    Shell
	Filters  []Filter
	Filtered bool
	Rows     []RunRow
	Next     string // address of the next page
	First    string // address of the first page, if this isn't it
	Sync     *SyncForm
}

// SyncForm starts a sync; nil for those who may not.
type SyncForm struct {
	Tenants   []Option
	Typed     bool   // as of a Filter
	RequestID string // makes a double click one run
}

// Run is one run, whole.
type Run struct {
	Shell      Shell
	ID         string
	Type       string
	Tenant     string
	TenantID   string
	Workspace  string
	Initiator  string
	Attempt    string
	Created    Moment
	Started    Moment
	Ended      Moment
	CanCancel  bool
	Again      string // the request id to run it again with; empty where that is not offered
	Cancelling string // who asked, once somebody did
	Reason     string // why, in their words
	Live       Live
	Failures   []Failure
	Events     []Event
	// Addresses of the events after these and, unless these are they, of the first.
	LaterEvents, FirstEvents string
	Coverage                 []Coverage
	NoCoverage               string // why there is none, if there should be
	Context                  string
	Related                  []Related
	Legacy                   *Legacy // of an imported run
}

// Legacy is where an imported run was before.
type Legacy struct {
	Source, ID, Status string
	Notes              []string
}

// Live is the part of a run's page that follows the run.
type Live struct {
	ID       string
	Active   bool
	Badge    Badge
	Progress Progress
	Duration string
	Counters []Counter
	Attempt  string
}

// Failure is one cause, told to a person.
type Failure struct {
	Reason, Code, Message, Item, Remediation, RequestID string
	Retryable                                           bool
}

// Event is a line of the timeline.
type Event struct {
	Anchor, Words, Actor, Detail, Tone, Icon string
	When                                     Moment
}

// Coverage is how completely one policy type was read.
type Coverage struct {
	Type                                           string
	Badge                                          Badge
	Listed, Read, Failed, New, Changed, Same, Gone string
	Message                                        string
}

// Related is a thing to go to from a run, or without Href only to know of.
type Related struct{ Label, Text, Href string }

// Login is the way in.
type Login struct {
	Shell Shell
	Next  string
	Wrong string
}

// Message is a page that only says something.
type Message struct {
	Shell     Shell
	Heading   string
	Text      string
	Reference string
	Home      bool
}

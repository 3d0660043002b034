// Package templates is the console's pages as components, and the views they
// show: everything already in words, nothing left to decide but the markup.
package templates

import (
	"github.com/a-h/templ"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// Shell is what surrounds every page.
type Shell struct {
	Title   string
	CSS, JS string // addresses of the hashed files
	User    string // empty on pages for strangers
	// The user's workspaces, and the one that the page is about; zero if it is about none.
	Workspaces []Workspace
	Workspace  Workspace
}

// Workspace is one that the user may choose.
type Workspace struct {
	ID   string
	Name string
}

// RunRow is a line of the list.
type RunRow struct {
	ID        string
	Badge     words.Badge
	Type      string
	Tenant    string
	Initiator string
	Active    bool
	Progress  words.Progress
	Failures  string
	Started   words.Moment
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
	Workspace  string
	Initiator  string
	Attempt    string
	Created    words.Moment
	Started    words.Moment
	Ended      words.Moment
	CanCancel  bool
	Again      *Again // nil where running it again is not offered
	Cancelling string // who asked, once somebody did
	Reason     string // why, in their words
	Live       Live
	Failures   []Failure
	Events     []words.Event
	// Addresses of the events after these and, unless these are they, of the first.
	LaterEvents, FirstEvents string
	Section                  templ.Component // what only runs of this type show; nil if nothing
	Context                  string
	Related                  []Related
	Legacy                   *Legacy // of an imported run
}

// Again is the form that starts a run again.
type Again struct {
	Type, TenantID string
	RequestID      string // makes a double click one run
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
	Badge    words.Badge
	Progress words.Progress
	Duration string
	Counters []words.Counter
	Attempt  string
}

// Failure is one cause, told to a person.
type Failure struct {
	Reason, Code, Message, Item, Remediation, RequestID string
	Retryable                                           bool
}

// Coverage is how completely one policy type was read.
type Coverage struct {
	Type                                           string
	Badge                                          words.Badge
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

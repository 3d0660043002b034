// Package templates is the markup of the console's pages, and the views that they
// show. A view has everything in words already: nothing is looked up or decided here.
package templates

import (
	"github.com/a-h/templ"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// Shell is what surrounds every page.
type Shell struct {
	Title   string
	CSS, JS string // addresses of the hashed files
	User    string // empty on pages for people who are not signed in
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

// Option is one choice of a filter or a form.
type Option struct {
	Value, Label string
	Chosen       bool
}

// Filter is one choice of the filter bar.
type Filter struct {
	Name, Label string
	Value       string // the chosen one
	Options     []Option
	Typed       bool // Options are not all choices, so an id may be typed
}

// Operations is the list of runs.
type Operations struct {
	Shell    Shell
	Filters  []Filter
	Filtered bool
	Rows     []RunRow
	Next     string    // address of the next page
	First    string    // address of the first page; empty if this is the first
	Sync     *SyncForm // nil if the user may not start one
}

// SyncForm is the form that starts a sync.
type SyncForm struct {
	Type      string // of the run
	Tenants   []Option
	Typed     bool   // as in Filter
	RequestID string // a double click sends it twice, and starts one run
}

// Run is the page of a run.
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
	Again      *Again // nil if the run cannot be run again
	Ahead      string // how many runs were before it, if it is queued
	Cancelling string // who asked to cancel the run; empty if nobody did
	Reason     string // why, in their words
	Live       Live
	Failures   []Failure
	Events     []words.Event
	// Addresses of the events after these, and of the first events unless these are they.
	LaterEvents, FirstEvents string
	Section                  templ.Component // the part that only runs of this type have; may be nil
	Context                  string
	Related                  []Related
	Legacy                   *Legacy // nil unless the run was imported
}

// Again is the form that starts a run again.
type Again struct {
	Type, TenantID string
	RequestID      string // as in SyncForm
}

// Legacy is where an imported run came from.
type Legacy struct {
	Source, ID, Status string
	Notes              []string
}

// Live is the part of a run's page that is replaced while the run goes on.
type Live struct {
	ID       string
	Active   bool
	Badge    words.Badge
	Progress words.Progress
	Duration string
	Counters []words.Counter
	Attempt  string
}

// Failure is one reason why a run failed.
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

// Related is a link from a run to another thing. Without Href it is only text.
type Related struct{ Label, Text, Href string }

// Login is the sign-in page.
type Login struct {
	Shell Shell
	Next  string
	Wrong string
}

// Message is a page with a heading and a sentence.
type Message struct {
	Shell     Shell
	Heading   string
	Text      string
	Reference string
	Home      bool
}

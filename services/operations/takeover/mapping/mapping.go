// Package mapping computes the canonical run that a row of a legacy table becomes. The
// views of package legacy compute the same in SQL, and backfill writes what they say. Verify
// compares the runs with both, and a test proves that both agree. It does no I/O.
//
// The specification leaves some questions open. These are the answers:
//
//   - Statuses are compared in lower case, without blanks, dashes and underscores. A row
//     with an unknown status becomes a failed run.
//   - Counts are whole numbers, 0 or more. 2.9 counts as 2, the string "12" as 12 (up to
//     18 digits), everything else as 0.
//   - The items of a restore are its results, if these are a list, or else the "items" of
//     its results, which may be a list or an object. An item was restored if its "ok" is
//     true; without "ok", its "success" decides, then its "status", then the item itself.
//   - The code of a failure is a string, a number, or the "code" of an object. A single
//     code may stand outside a list. A failure without a code is left out.
//   - Names are cut at 255 characters; an empty name counts as no name.
//   - A context that is no object is kept under legacy.context. The counts and failures of
//     a canonical run are kept under legacy too, if they hold more than what they become.
//   - The baseline_run_id and current_run_id of a drift run are ids of inventory_sync_runs.
//     They stay as they are. They are no inputs of an identity and no search keys.
package mapping

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Takeover is what was decided for all rows of one source.
type Takeover struct {
	Zone        string    // the zone of timestamps without one; rows were read with it
	StaleBefore time.Time // active rows last touched before this are given up; zero gives up none
	Began       time.Time // the time of a row that has no time at all
	Base        int64     // row N is run Base + N
	RunBase     int64     // the Base of canonical runs
	LastRun     int64     // the highest legacy id of a canonical run
}

// Row is what rows of all sources have. A new id is nil if adopt took over nobody.
type Row struct {
	ID          int64
	Status      *string
	WorkspaceID *int64 // the new id
	TenantID    *int64 // the new id
	UserID      *int64 // the new id
	UserName    *string
	StartedAt   *time.Time
	FinishedAt  *time.Time
	CreatedAt   *time.Time
	UpdatedAt   *time.Time
}

// Run is the run that a row becomes.
type Run struct {
	ID             int64
	WorkspaceID    *int64 // nil if the run cannot be written
	TenantID       *int64
	UserID         *int64
	InitiatorName  string
	Type           string // empty if the row stays behind
	Status         run.Status
	Outcome        run.Outcome
	IdentityHash   []byte
	SummaryCounts  map[string]int64
	FailureSummary []Failure
	Context        map[string]any // as encoding/json decodes it, with json.Number
	StartedAt      *time.Time
	CompletedAt    *time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Failure is one reason why a run did not succeed.
type Failure struct {
	Code        string `json:"code"`
	ReasonCode  string `json:"reason_code"`
	Message     string `json:"message"`
	Item        string `json:"item,omitempty"`
	Retryable   bool   `json:"retryable,omitempty"`
	Remediation string `json:"remediation,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// run returns what a row of any source becomes, without identity, counts and context.
func (t Takeover) run(r Row, source, typ, word string, failures []Failure) (Run, origin) {
	l := t.life(r, word)
	failures = append([]Failure{}, failures...)
	if l.givenUp {
		failures = append(failures, givenUp)
	}
	return Run{
		ID: t.Base + r.ID, WorkspaceID: r.WorkspaceID, TenantID: r.TenantID, UserID: r.UserID, Type: typ,
		Status: l.status, Outcome: l.outcome, FailureSummary: failures,
		StartedAt: r.StartedAt, CompletedAt: l.completed, CreatedAt: l.created, UpdatedAt: l.updated,
	}, origin{Source: source, ID: r.ID, Status: r.Status, Notes: l.notes}
}

// origin is the part of a context that says which row the run was.
type origin struct {
	Source  string          `json:"source"`
	ID      int64           `json:"id"`
	Status  *string         `json:"status"`
	Notes   []string        `json:"notes,omitempty"`
	Type    string          `json:"type,omitempty"`
	Deleted string          `json:"deleted_at,omitempty"`
	Earlier json.RawMessage `json:"earlier,omitempty"`
	Context json.RawMessage `json:"context,omitempty"`
	// These are kept as they were if they hold more than the run has room for.
	Failures json.RawMessage `json:"failure_summary,omitempty"`
	Counts   json.RawMessage `json:"summary_counts,omitempty"`
}

var givenUp = Failure{
	Code: "lease_expired", ReasonCode: "lease_expired",
	Message: "It was still active when it was taken over, and nothing had touched it for too long.",
}

// longestName is how many characters of a name are kept: an index cannot hold longer texts.
const longestName = 255

// named returns name, or otherwise if it is empty.
func named(name *string, otherwise string) string {
	if name == nil || *name == "" {
		return cut(otherwise, longestName)
	}
	return cut(*name, longestName)
}

// cut returns the first n code points of s.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// written returns a time in the format of inputs and contexts.
func written(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05") + "+00:00"
	return &s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// contextOf returns v, which encodes to a JSON object, as a context.
func contextOf(v any) map[string]any {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // every v that we pass can be encoded
	}
	ctx, _ := decode(data).(map[string]any)
	return ctx
}

// decode decodes JSON and keeps numbers as they are written; it returns nil for no data.
func decode(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	_ = d.Decode(&v) // the database has parsed it already
	return v
}

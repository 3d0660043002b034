// Package mapping says which canonical run a row of a legacy table becomes. The
// takeover's views say the same in SQL, and write it; this package is what verify
// compares with, and a test proves that both agree. It does no I/O.
//
// What the specification leaves open is decided thus:
//
//   - Statuses are compared in lower case, without blanks, dashes and underscores. One
//     that nobody knows is a failed run.
//   - Counts are whole numbers that are not negative: of a number its fraction is
//     dropped, a string of up to 18 digits counts as its number, all else counts as 0.
//   - A restore's items are its results, if these are a list, or what they have under
//     "items", a list or an object. An item was restored if its "ok", else its
//     "success", else its "status" says so, or it does itself; if not, it failed.
//   - Codes of failures are strings, numbers, or what an object has as its "code"; a
//     single one need not stand in a list. What has no code is left out.
//   - Names are cut at 255 characters, and an empty one is none.
//   - A context that is no object is kept under legacy.context. So are, by their names,
//     the counts and the failures of a canonical run if they say more than what they become.
//   - The baseline_run_id and current_run_id of a drift run are rows of inventory_sync_runs:
//     they stay as they are, and are neither inputs of an identity nor searched by.
package mapping

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Takeover is what was decided for all rows of a source.
type Takeover struct {
	Zone        string    // of timestamps without one, which rows have already been read by
	StaleBefore time.Time // active rows last touched before it are given up; zero: none
	Began       time.Time // stands in where a row has no time at all
	Base        int64     // row N is run Base + N
	RunBase     int64     // the Base of canonical runs
	LastRun     int64     // the last canonical run's legacy id
}

// Row is what rows of all sources have. The new ids are nil where adopt took nobody over.
type Row struct {
	ID          int64
	Status      *string
	WorkspaceID *int64 // new
	TenantID    *int64 // new
	UserID      *int64 // new
	UserName    *string
	StartedAt   *time.Time
	FinishedAt  *time.Time
	CreatedAt   *time.Time
	UpdatedAt   *time.Time
}

// Run is what a row becomes.
type Run struct {
	ID             int64
	WorkspaceID    *int64 // nil: it can not be written
	TenantID       *int64
	UserID         *int64
	InitiatorName  string
	Type           string // empty: it stays behind
	Status         run.Status
	Outcome        run.Outcome
	IdentityHash   []byte
	SummaryCounts  map[string]int64
	FailureSummary []Failure
	Context        map[string]any // as encoding/json has it, with json.Number
	StartedAt      *time.Time
	CompletedAt    *time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Failure is one cause of a run not succeeding.
type Failure struct {
	Code        string `json:"code"`
	ReasonCode  string `json:"reason_code"`
	Message     string `json:"message"`
	Item        string `json:"item,omitempty"`
	Retryable   bool   `json:"retryable,omitempty"`
	Remediation string `json:"remediation,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// run answers what a row becomes whatever its source: all but identity, counts and context.
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

// origin is the context's note of where a run comes from.
type origin struct {
	Source  string          `json:"source"`
	ID      int64           `json:"id"`
	Status  *string         `json:"status"`
	Notes   []string        `json:"notes,omitempty"`
	Type    string          `json:"type,omitempty"`
	Deleted string          `json:"deleted_at,omitempty"`
	Earlier json.RawMessage `json:"earlier,omitempty"`
	Context json.RawMessage `json:"context,omitempty"`
	// What does not fit is kept as it was.
	Failures json.RawMessage `json:"failure_summary,omitempty"`
	Counts   json.RawMessage `json:"summary_counts,omitempty"`
}

var givenUp = Failure{
	Code: "lease_expired", ReasonCode: "lease_expired",
	Message: "It was still active when it was taken over, and nothing had touched it for too long.",
}

// longestName is how much of a name is kept: an index has no room for the longest texts.
const longestName = 255

// named answers name, or otherwise if there is none.
func named(name *string, otherwise string) string {
	if name == nil || *name == "" {
		return cut(otherwise, longestName)
	}
	return cut(*name, longestName)
}

// cut answers the first n code points of s.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// written is a time as inputs and contexts have it.
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

// contextOf makes a context of what encodes to a JSON object.
func contextOf(v any) map[string]any {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // there is nothing in it that cannot be encoded
	}
	ctx, _ := decode(data).(map[string]any)
	return ctx
}

// decode answers what data says, with its numbers as they are written; nil for nothing.
func decode(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	_ = d.Decode(&v) // the database has read it before
	return v
}

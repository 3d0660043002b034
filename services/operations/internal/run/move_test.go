package run

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// moves is what each call does to a run in each state. docs/run.md shows the same
// table and says what its words mean; check.does says it in code.
const moves = `
| call | queued | released | running | expired | expired, last attempt | cancelling | cancelling, expired | completed | imported |
|---|---|---|---|---|---|---|---|---|---|
| BeginRun, the holder | begun | begun | extended | extended | extended | extended | extended | RUN_COMPLETED | LEASE_LOST |
| BeginRun, another | begun | begun | LEASE_HELD | begun | failed: lease_expired | LEASE_HELD | cancelled | RUN_COMPLETED | LEASE_LOST |
| ReportProgress | LEASE_LOST | LEASE_LOST | extended | extended | extended | extended | extended | RUN_COMPLETED | LEASE_LOST |
| ReportProgress, old epoch | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | RUN_COMPLETED | LEASE_LOST |
| ReleaseRun | LEASE_LOST | LEASE_LOST | released | released | released | cancelled | cancelled | RUN_COMPLETED | LEASE_LOST |
| ReleaseRun, old epoch | LEASE_LOST | unchanged | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | RUN_COMPLETED | LEASE_LOST |
| CompleteRun, succeeded | RUN_NOT_RUNNING | RUN_NOT_RUNNING | succeeded | succeeded | succeeded | succeeded | succeeded | unchanged | LEASE_LOST |
| CompleteRun, failed | failed | failed | failed | failed | failed | failed | failed | RUN_COMPLETED | LEASE_LOST |
| CompleteRun, old epoch | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | LEASE_LOST | RUN_COMPLETED | LEASE_LOST |
| CancelRun | cancelled | cancelled | cancel_requested | cancel_requested | cancel_requested | unchanged | unchanged | unchanged | unchanged |
| StartRun that supersedes it | cancelled: superseded | cancelled: superseded | unchanged | cancelled: superseded | cancelled: superseded | unchanged | cancelled: superseded | unchanged | unchanged |
| the reaper | unchanged | unchanged | unchanged | requeued | failed: lease_expired | unchanged | cancelled | unchanged | unchanged |
| the reaper, past the deadlines | failed: start_timeout | failed: start_timeout | unchanged | requeued | failed: lease_expired | cancelled: cancel_timeout | cancelled | unchanged | unchanged |
`

var (
	now    = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	hour   = Type{Name: "inventory_sync", Owner: "inventory", Lease: time.Minute, QueueDeadline: time.Hour, CancelDeadline: time.Hour}
	second = Type{Name: "inventory_sync", Owner: "inventory", Lease: time.Minute, QueueDeadline: time.Second, CancelDeadline: time.Second}
)

func ago(d time.Duration) *time.Time { t := now.Add(-d); return &t }

// inState returns runs in a state: under epoch 5, in attempt 2 of 3.
func inState(t *testing.T, name string) []*Run {
	t.Helper()
	r := func(change func(*Run)) *Run {
		r := &Run{
			ID: 7, Type: "inventory_sync", Status: Running, Outcome: Pending, Origin: Live, Epoch: 5, Attempt: 2, MaxAttempts: 3,
			CreatedAt: *ago(time.Minute), QueuedAt: ago(30 * time.Second), StartedAt: ago(20 * time.Second),
			Counts: map[string]int64{"processed": 3},
			Lease:  &Lease{Holder: "w1", ExpiresAt: now.Add(time.Second)},
		}
		change(r)
		return r
	}
	queued := func(r *Run) { r.Status, r.Lease = Queued, nil }
	expired := func(r *Run) { r.Lease.ExpiresAt = now }
	cancelling := func(r *Run) { r.Cancel = &CancelRequest{At: *ago(10 * time.Second), By: "Ada", Reason: "wrong tenant"} }
	switch name {
	case "queued":
		return []*Run{r(queued)}
	case "released":
		return []*Run{r(func(r *Run) { queued(r); old := r.Epoch - 1; r.ReleasedEpoch = &old })}
	case "running":
		return []*Run{r(func(*Run) {})}
	case "expired":
		return []*Run{r(expired)}
	case "expired, last attempt":
		return []*Run{r(func(r *Run) { expired(r); r.Attempt = 3 })}
	case "cancelling":
		return []*Run{r(cancelling)}
	case "cancelling, expired":
		return []*Run{r(func(r *Run) { cancelling(r); expired(r) })}
	case "completed":
		return []*Run{r(func(r *Run) {
			r.Status, r.Outcome, r.Lease, r.CompletedAt, r.CompletionDigest = Completed, Succeeded, nil, ago(0), []byte(Succeeded)
		})}
	case "imported": // history may say that it is active, but nobody works on it
		imported := func(r *Run) { r.Origin, r.Lease = Legacy, nil }
		return []*Run{r(func(r *Run) { imported(r); queued(r) }), r(imported)}
	}
	t.Fatalf("no state %q", name)
	return nil
}

// calls are the rows of the table.
var calls = map[string]func(r *Run) (*Event, error){
	"BeginRun, the holder":      func(r *Run) (*Event, error) { return r.Begin(now, "w1", hour.Lease) },
	"BeginRun, another":         func(r *Run) (*Event, error) { return r.Begin(now, "w2", hour.Lease) },
	"ReportProgress":            func(r *Run) (*Event, error) { return nil, r.Progress(r.Epoch) },
	"ReportProgress, old epoch": func(r *Run) (*Event, error) { return nil, r.Progress(r.Epoch - 1) },
	"ReleaseRun":                func(r *Run) (*Event, error) { return r.Release(now, r.Epoch) },
	"ReleaseRun, old epoch":     func(r *Run) (*Event, error) { return r.Release(now, r.Epoch-1) },
	"CompleteRun, succeeded":    func(r *Run) (*Event, error) { return r.Complete(now, completionOf(r.Epoch, Succeeded)) },
	"CompleteRun, failed":       func(r *Run) (*Event, error) { return r.Complete(now, completionOf(r.Epoch, Failed)) },
	"CompleteRun, old epoch":    func(r *Run) (*Event, error) { return r.Complete(now, completionOf(r.Epoch-1, Failed)) },
	"CancelRun":                 func(r *Run) (*Event, error) { return r.RequestCancel(now, "Ada", "wrong tenant"), nil },
	"StartRun that supersedes it": func(r *Run) (*Event, error) {
		e, ok := r.Supersede(now, "inventory")
		if ok != (e != nil) {
			panic("an event is what supersedes")
		}
		return e, nil
	},
	"the reaper":                     func(r *Run) (*Event, error) { return r.Reap(now, hour), nil },
	"the reaper, past the deadlines": func(r *Run) (*Event, error) { return r.Reap(now, second), nil },
}

func completionOf(epoch int64, o Outcome) Completion {
	return Completion{Epoch: epoch, Outcome: o, Digest: []byte(o)}
}

func TestEveryCallInEveryState(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(moves), "\n")
	states := cells(lines[0])[1:]
	var rows []string
	for _, line := range lines[2:] {
		row := cells(line)
		rows = append(rows, row[0])
		require.Len(t, row, len(states)+1, row[0])
		for i, state := range states {
			for _, before := range inState(t, state) {
				after := clone(before)
				e, err := calls[row[0]](after)
				check{before: before, after: after, event: e, err: err}.does(t, row[i+1], row[0]+" of a run that is "+state)
			}
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(calls)), rows)
}

func TestTheTableIsInTheDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../../docs/run.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), moves)
}

func cells(line string) []string {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func clone(r *Run) *Run {
	c := *r
	c.Lease, c.Counts = r.Lease.Copy(), maps.Clone(r.Counts)
	return &c
}

// check is what a call did to a run.
type check struct {
	before, after *Run
	event         *Event
	err           error
}

// does requires that the call did what a cell of the table says, and nothing else.
func (c check) does(t *testing.T, cell, what string) {
	t.Helper()
	want := clone(c.before)
	kind, reason := "", ""
	switch word, why, _ := strings.Cut(cell, ": "); word {
	case "unchanged":
	case "extended": // by the statement; BeginRun also in the domain
		if strings.HasPrefix(what, "BeginRun") {
			want.Lease.ExpiresAt = now.Add(hour.Lease)
		}
	case "begun":
		kind = EventBegun
		want.Status, want.Epoch, want.Attempt, want.ReleasedEpoch = Running, want.Epoch+1, want.Attempt+1, nil
		want.Lease = &Lease{Holder: c.event.Detail["holder"].(string), ExpiresAt: now.Add(hour.Lease)}
	case "requeued":
		kind = EventRequeued
		want.Status, want.Epoch, want.QueuedAt, want.Lease = Queued, want.Epoch+1, &now, nil
	case "released":
		kind = EventReleased
		want.Status, want.Epoch, want.Attempt, want.QueuedAt, want.Lease = Queued, want.Epoch+1, want.Attempt-1, &now, nil
		want.ReleasedEpoch = &c.before.Epoch
	case "cancel_requested":
		kind = EventCancelRequested
		want.Cancel = &CancelRequest{At: now, By: "Ada", Reason: "wrong tenant"}
	case "succeeded", "failed", "cancelled":
		kind = EventCompleted
		want.Status, want.Outcome, want.CompletedAt, want.Lease, want.ReleasedEpoch = Completed, Outcome(word), &now, nil, nil
		// Whose words these are, the tests of failures and cancel requests say.
		want.Cancel, want.Failures, want.CompletionDigest = c.after.Cancel, c.after.Failures, c.after.CompletionDigest
		if why != "" {
			require.Equal(t, why, c.after.Failures[len(c.after.Failures)-1].Reason, what)
			require.Equal(t, why, c.event.Detail["reason"], what)
		}
	default:
		reason = cell
	}
	require.Equal(t, reason, errs.Reason(c.err), "%s: %v", what, c.err)
	require.Equal(t, want, c.after, what)
	if kind == "" {
		require.Nil(t, c.event, what)
		return
	}
	require.NotNil(t, c.event, what)
	require.Equal(t, kind, c.event.Kind, what)
}

// The clock of the database may be set back. A run still begins after it was created,
// and ends after it began.
func TestAClockThatStepsBackKeepsTimesInOrder(t *testing.T) {
	t.Parallel()
	early := now.Add(-24 * time.Hour)
	begun := inState(t, "queued")[0]
	begun.StartedAt = nil
	_, err := begun.Begin(early, "w1", time.Minute)
	require.NoError(t, err)
	require.Equal(t, begun.CreatedAt, *begun.StartedAt)

	for name, end := range map[string]func(r *Run){
		"complete": func(r *Run) { _, _ = r.Complete(early, completionOf(r.Epoch, Failed)) },
		"release":  func(r *Run) { r.Cancel = &CancelRequest{}; _, _ = r.Release(early, r.Epoch) },
		"cancel":   func(r *Run) { r.Status, r.Lease = Queued, nil; r.RequestCancel(early, "Ada", "") },
		"replace":  func(r *Run) { r.Status, r.Lease = Queued, nil; r.Supersede(early, "inventory") },
	} {
		r := inState(t, "running")[0]
		end(r)
		require.Equal(t, Completed, r.Status, name)
		require.Equal(t, *r.StartedAt, *r.CompletedAt, name)

		r = inState(t, "running")[0]
		r.StartedAt = nil
		end(r)
		require.Equal(t, r.CreatedAt, *r.CompletedAt, "%s of a run that never began", name)
	}
}

func TestACompletionKeepsTheCountsItDoesNotName(t *testing.T) {
	t.Parallel()
	r := inState(t, "running")[0]
	c := completionOf(r.Epoch, Failed)
	c.Failures = []Failure{{Code: "X", Reason: "internal", Message: "m"}}
	_, err := r.Complete(now, c)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"processed": 3}, r.Counts)
	require.Equal(t, c.Failures, r.Failures)

	r = inState(t, "queued")[0]
	c.Counts = map[string]int64{"total": 9}
	_, err = r.Complete(now, c)
	require.NoError(t, err)
	require.Equal(t, c.Counts, r.Counts, "all of them, not some")
}

// Who is named as the one that did it, and why.
func TestWhoMovedARun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state string
		move  func(r *Run) *Event
		actor string // empty: the owner of the type
	}{
		"a worker begins":       {"queued", func(r *Run) *Event { e, _ := r.Begin(now, "w1", hour.Lease); return e }, ""},
		"a worker completes":    {"running", func(r *Run) *Event { e, _ := r.Complete(now, completionOf(5, Failed)); return e }, ""},
		"a worker gives back":   {"cancelling", func(r *Run) *Event { e, _ := r.Release(now, 5); return e }, ""},
		"a user cancels":        {"queued", func(r *Run) *Event { return r.RequestCancel(now, "Ada", "") }, "Ada"},
		"a service replaces":    {"queued", func(r *Run) *Event { e, _ := r.Supersede(now, "inventory"); return e }, "inventory"},
		"the reaper requeues":   {"expired", func(r *Run) *Event { return r.Reap(now, hour) }, ReaperName},
		"a worker comes late":   {"expired, last attempt", func(r *Run) *Event { e, _ := r.Begin(now, "w2", hour.Lease); return e }, ReaperName},
		"a cancelled run's end": {"cancelling, expired", func(r *Run) *Event { return r.Reap(now, hour) }, ReaperName},
	}
	for name, tt := range tests {
		e := tt.move(inState(t, tt.state)[0])
		require.NotNil(t, e, name)
		require.Equal(t, tt.actor, e.Actor, name)
		if strings.HasPrefix(tt.state, "cancelling") {
			require.Equal(t, "wrong tenant", e.Detail["reason"], name)
		}
	}
}

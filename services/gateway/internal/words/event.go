package words

import (
	"fmt"
	"strings"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Event is a line of the timeline.
type Event struct {
	Anchor, Words, Actor, Detail, Tone, Icon string
	When                                     Moment
}

// EventOf puts an event of a run into words.
func EventOf(e *operationsv1.RunEvent, now time.Time) Event {
	v := Event{Anchor: fmt.Sprintf("e%d", e.GetSequence()), Actor: e.GetActor(), When: At(e.GetEventTime(), now)}
	switch e.GetKind() {
	case "created":
		v.Words, v.Icon = "Created", "plus"
	case "begun":
		v.Words, v.Icon, v.Tone = fmt.Sprintf("Attempt %d begun", e.GetAttempt()), "run", "active"
	case "requeued":
		v.Words, v.Icon, v.Tone = "Queued again: its worker went silent", "clock", "part"
	case "released":
		v.Words, v.Icon = "Given back by its worker", "clock"
	case "cancel_requested":
		v.Words, v.Icon = "Cancellation asked for", "stop"
	case "late_completion_rejected":
		v.Words, v.Icon, v.Tone = "A late result was refused", "part", "part"
	case "completed":
		b := outcomeBadge(e.GetOutcome())
		v.Words, v.Icon, v.Tone = "Ended: "+strings.ToLower(b.Word), b.Icon, b.Tone
	default:
		v.Words, v.Icon = strings.ReplaceAll(e.GetKind(), "_", " "), "dot"
	}
	if reason := e.GetDetail().GetFields()["reason"].GetStringValue(); reason != "" {
		v.Detail = reason
	}
	if e.GetDetail().GetFields()["imported"].GetBoolValue() {
		v.Detail = "Known from the import. What came before was not recorded."
	}
	return v
}

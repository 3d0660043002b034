package words

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestCounters(t *testing.T) {
	t.Parallel()
	run := &operationsv1.Run{SummaryCounts: map[string]int64{
		"total": 9, "processed": 9, "failed": 2, "created": 1234567, "types_done": 3, "types_total": 11, "bytes_total": 5, "requests": 7,
	}}
	var got string
	for _, c := range CountersOf(run) {
		got += fmt.Sprintf("%s %s %s|", c.Name, c.Value, c.Tone)
	}
	if want := "created 1\u202f234\u202f567 |failed 2 bad|bytes total 5 |requests 7 |types 3 of 11 |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	const running, completed, queued = operationsv1.RunStatus_RUN_STATUS_RUNNING, operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunStatus_RUN_STATUS_QUEUED
	tests := map[string]struct {
		status operationsv1.RunStatus
		counts map[string]int64
		known  bool
		words  string
	}{
		"queued":          {queued, nil, false, "waiting for a worker"},
		"just begun":      {running, nil, false, "starting"},
		"no total yet":    {running, map[string]int64{"processed": 12}, false, "12 so far"},
		"total of none":   {running, map[string]int64{"processed": 0, "total": 0}, false, "0 so far"},
		"half":            {running, map[string]int64{"processed": 6, "total": 12}, true, "6 of 12 · 50 %"},
		"more than total": {running, map[string]int64{"processed": 13, "total": 12}, true, "13 of 12 · 100 %"},
		"ended, no total": {completed, map[string]int64{"processed": 12}, false, "12"},
		"ended early":     {completed, nil, false, ""},
	}
	for name, c := range tests {
		got := ProgressOf(&operationsv1.Run{Status: c.status, SummaryCounts: c.counts})
		if got.Known != c.known || got.Words != c.words {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestBadges(t *testing.T) {
	t.Parallel()
	for want, run := range map[string]*operationsv1.Run{
		"Queued":           {Status: operationsv1.RunStatus_RUN_STATUS_QUEUED},
		"Running":          {Status: operationsv1.RunStatus_RUN_STATUS_RUNNING},
		"Cancelling":       {Status: operationsv1.RunStatus_RUN_STATUS_RUNNING, CancelRequestTime: timestamppb.New(start())},
		"Succeeded":        {Status: operationsv1.RunStatus_RUN_STATUS_COMPLETED, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED},
		"Partly succeeded": {Status: operationsv1.RunStatus_RUN_STATUS_COMPLETED, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED},
		"Failed":           {Status: operationsv1.RunStatus_RUN_STATUS_COMPLETED, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_FAILED},
		"Cancelled":        {Status: operationsv1.RunStatus_RUN_STATUS_COMPLETED, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED},
		"Unknown":          {Status: operationsv1.RunStatus_RUN_STATUS_COMPLETED},
	} {
		if got := BadgeOf(run); got.Word != want || got.Icon == "" {
			t.Errorf("%s: %+v", want, got)
		}
	}
}

func TestTimeInWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", 95 * time.Second: "1 min 35 s", 25*time.Hour + 3*time.Minute: "25 h 3 min",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v lasts %q", d, got)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Minute: "just now", time.Second: "just now", 30 * time.Second: "30 s ago", time.Hour: "1 h ago", 72 * time.Hour: "3 days ago",
	} {
		if got := MomentOf(start(), start().Add(d)).Words; got != want {
			t.Errorf("%v later it was %q", d, got)
		}
	}
}

func TestEventOfAnImport(t *testing.T) {
	t.Parallel()
	detail, err := structpb.NewStruct(map[string]any{"imported": true})
	if err != nil {
		t.Fatal(err)
	}
	e := EventOf(&operationsv1.RunEvent{Kind: "completed", Outcome: operationsv1.RunOutcome_RUN_OUTCOME_FAILED, Detail: detail}, start())
	if e.Words != "Ended: failed" || !strings.Contains(e.Detail, "import") {
		t.Errorf("%+v", e)
	}
}

func start() time.Time { return time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC) }

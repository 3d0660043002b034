package work

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestConclude(t *testing.T) {
	t.Parallel()
	ended := context.Canceled
	tests := map[string]struct {
		cause error
		said  operationsv1.RunOutcome
		err   error
		kind  kind
		want  operationsv1.RunOutcome
	}{
		"finished":                             {said: succeeded, kind: complete, want: succeeded},
		"finished in part":                     {said: partially, kind: complete, want: partially},
		"failed":                               {err: errors.New("x"), kind: complete, want: failed},
		"ended without a reason of ours":       {err: ended, kind: complete, want: failed},
		"cancelled":                            {cause: ErrCancelRequested, err: ended, kind: complete, want: cancelled},
		"cancelled, but all was done":          {cause: ErrCancelRequested, said: succeeded, kind: complete, want: succeeded},
		"cancelled, some was done":             {cause: ErrCancelRequested, said: partially, kind: complete, want: cancelled},
		"shut down":                            {cause: ErrShutdown, err: ended, kind: release},
		"shut down, but all was done":          {cause: ErrShutdown, said: succeeded, kind: complete, want: succeeded},
		"shut down, some was done":             {cause: ErrShutdown, said: partially, kind: release},
		"lease lost":                           {cause: ErrLeaseLost, err: ended, kind: abandon},
		"lease lost, but all was done":         {cause: ErrLeaseLost, said: succeeded, kind: complete, want: succeeded},
		"River ended it, a shutdown too long":  {cause: errors.New("stop"), err: ended, kind: abandon},
		"no job for the type":                  {err: errNoJob, kind: release},
		"not an outcome":                       {said: pending, kind: complete, want: failed},
		"failed just when cancelled":           {cause: ErrCancelRequested, err: errors.New("x"), kind: complete, want: cancelled},
		"failed just when the lease was lost":  {cause: ErrLeaseLost, err: errors.New("x"), kind: abandon},
		"failed just when the process stopped": {cause: ErrShutdown, err: errors.New("x"), kind: release},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := conclude(tt.cause, Result{Outcome: tt.said}, tt.err)
			if got.kind != tt.kind || got.outcome != tt.want {
				t.Errorf("got %d %s, want %d %s", got.kind, got.outcome, tt.kind, tt.want)
			}
		})
	}
}

func TestFitKeepsFailuresWithinWhatTheStoreTakes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		entries int
		message string
		listed  int
	}{
		"few":        {entries: 3, message: "no", listed: 3},
		"many":       {entries: 1000, message: "no", listed: maxFailures},
		"long":       {entries: 100, message: strings.Repeat("ä", 5000), listed: 6},
		"unreadable": {entries: 2, message: "a\x00b\xff", listed: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failures []*operationsv1.Failure
			for range tt.entries {
				failures = append(failures, &operationsv1.Failure{Message: tt.message})
			}
			got := fit(failures)
			listed := len(got)
			if tt.listed < tt.entries {
				listed--
				if last := got[listed].GetMessage(); !strings.Contains(last, "more failures are not listed") {
					t.Errorf("the last entry says %q", last)
				}
			}
			size := 0
			for _, f := range got {
				size += len(protojson.Format(f))
				if strings.Contains(f.GetMessage(), "\x00") {
					t.Errorf("entry %v", f)
				}
			}
			if listed != tt.listed || size > 32<<10 {
				t.Errorf("%d entries, %d bytes", listed, size)
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	if got := text("aä\x00b\xffc", 4); got != "aäb\uFFFD" {
		t.Errorf("%q", got)
	}
}

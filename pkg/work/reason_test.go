package work

import (
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/graph"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Package graph must not import the enum, so this test checks that each of its classes
// is the word of a reason.
func TestClassesOfGraphAreReasons(t *testing.T) {
	t.Parallel()
	for _, class := range []graph.Class{graph.ClassThrottled, graph.ClassTimeout, graph.ClassPermission, graph.ClassTenantAuth,
		graph.ClassDependency, graph.ClassValidation, graph.ClassInternal} {
		if reason := Reason(string(class)); ReasonWord(reason) != string(class) {
			t.Errorf("%s becomes %s", class, reason)
		}
	}
	if got := Reason("something new"); got != operationsv1.FailureReason_FAILURE_REASON_UNKNOWN {
		t.Errorf("a word that no reason has becomes %s", got)
	}
}

func TestWordsOfReasons(t *testing.T) {
	t.Parallel()
	const lost = operationsv1.RunReason_RUN_REASON_LEASE_LOST
	if got := errs.Word(lost); got != "LEASE_LOST" {
		t.Errorf("the word is %q", got)
	}
	if got := errs.Word(operationsv1.RunReason(999)); got != "UNKNOWN" {
		t.Errorf("the word of a number nobody knows is %q", got)
	}
	if got, ok := errs.FromWord[operationsv1.RunReason]("lease_lost"); !ok || got != lost {
		t.Errorf("the reason is %s, %t", got, ok)
	}
	err := errs.Aborted(errs.Word(lost), "run 1 is not held")
	if !errs.HasReason(err, operationsv1.RunReason_RUN_REASON_LEASE_HELD, lost) {
		t.Error("the error does not have its reason")
	}
	if errs.HasReason(err, operationsv1.RunReason_RUN_REASON_LEASE_HELD) || errs.HasReason(nil, lost) {
		t.Error("an error has a reason that is not its own")
	}
}

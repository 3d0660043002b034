package sync

import (
	"errors"
	"fmt"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

const maxFailures = 100

// failures are what went wrong, the first hundred in full.
type failures struct {
	kept []*operationsv1.Failure
	more int
}

func (f *failures) add(entry *operationsv1.Failure) {
	if len(f.kept) == maxFailures {
		f.more++
		return
	}
	f.kept = append(f.kept, entry)
}

func (f *failures) addAll(other failures) {
	for _, entry := range other.kept {
		f.add(entry)
	}
	f.more += other.more
}

// list ends with an entry for those left out.
func (f *failures) list() []*operationsv1.Failure {
	if f.more == 0 {
		return f.kept
	}
	return append(f.kept[:len(f.kept):len(f.kept)], &operationsv1.Failure{
		Reason: operationsv1.FailureReason_FAILURE_REASON_UNKNOWN, Message: fmt.Sprintf("and %d more", f.more),
	})
}

// failure tells a person about err, met at what: a type, or "type/external id".
func failure(what string, err error) *operationsv1.Failure {
	entry := &operationsv1.Failure{
		Reason: work.Reason(graph.ReasonCode(err)), Message: message(err), Item: what,
		Retryable: graph.Retryable(err), Remediation: graph.Remediation(err),
	}
	var g *graph.Error
	if errors.As(err, &g) {
		entry.Code, entry.RequestId = g.Code, g.RequestID
	}
	return entry
}

// message says of errors that are not Graph's only that they were ours.
func message(err error) string {
	var g *graph.Error
	if errors.As(err, &g) {
		if g.Message != "" {
			return g.Message
		}
		return g.Code
	}
	return "It could not be processed; the service's log says why."
}

package sync

import (
	"errors"
	"fmt"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

const maxFailures = 100

// failures keeps what went wrong: the first hundred entries, and the number of the
// others.
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

// list returns the entries, and one more with the number of those left out.
func (f *failures) list() []*operationsv1.Failure {
	if f.more == 0 {
		return f.kept
	}
	return append(f.kept[:len(f.kept):len(f.kept)], &operationsv1.Failure{
		Reason: operationsv1.FailureReason_FAILURE_REASON_UNKNOWN, Message: fmt.Sprintf("and %d more", f.more),
	})
}

// failure returns the entry for an error that was met at what, which is a type or
// "type/external id".
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

// message returns the words of Graph's errors. For any other error it returns one
// sentence: its own words are for the log.
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

package work

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Failure is an error a [Job] returns to fail its run with words for the people
// who will read it. Everything but the cause is shown to them.
type Failure struct {
	Reason      operationsv1.FailureReason
	Code        string // of the part that failed, for example Graph's error code
	Message     string
	Item        string // "configurationPolicies/3f2a…"; empty for the run as a whole
	Retryable   bool   // starting again unchanged may help
	Remediation string // what to do next
	RequestID   string // Graph's request-id
	Cause       error  // for the log only
}

// Fail returns a Failure with a reason and a message. The caller sets what else it
// knows.
func Fail(reason operationsv1.FailureReason, format string, args ...any) *Failure {
	return &Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Reason returns the reason that has the given stored word, for example the one
// graph.ReasonCode returns, and unknown for a word that no reason has.
func Reason(word string) operationsv1.FailureReason {
	reason, ok := errs.FromWord[operationsv1.FailureReason](word)
	if !ok {
		return operationsv1.FailureReason_FAILURE_REASON_UNKNOWN
	}
	return reason
}

// ReasonWord returns the word that is stored for a reason: "tenant_auth".
func ReasonWord(reason operationsv1.FailureReason) string {
	return strings.ToLower(errs.Word(reason))
}

// Error is for logs: it has the cause in it.
func (f *Failure) Error() string {
	said := ReasonWord(f.Reason) + ": " + f.Message
	if f.Cause == nil {
		return said
	}
	return said + ": " + f.Cause.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// Proto is the entry for [Result.Failures] that says the same.
func (f *Failure) Proto() *operationsv1.Failure {
	return &operationsv1.Failure{
		Code:        f.Code,
		Reason:      f.Reason,
		Message:     f.Message,
		Item:        f.Item,
		Retryable:   f.Retryable,
		Remediation: f.Remediation,
		RequestId:   f.RequestID,
	}
}

// The store takes 200 entries and 32 KiB of JSON; whose JSON, and how it escapes,
// is its own affair, so this stays well below.
const (
	maxFailures     = 150
	maxFailureBytes = 24 << 10
)

// fit makes failures acceptable to the store: a run must not stay open because
// too much went wrong. What is left out is counted in a last entry.
func fit(failures []*operationsv1.Failure) []*operationsv1.Failure {
	var out []*operationsv1.Failure
	size := 0
	for i, f := range failures {
		f = clip(f)
		size += len(protojson.Format(f))
		if i == maxFailures || size > maxFailureBytes {
			return append(out, &operationsv1.Failure{
				Reason:  operationsv1.FailureReason_FAILURE_REASON_UNKNOWN,
				Message: fmt.Sprintf("%d more failures are not listed", len(failures)-i),
			})
		}
		out = append(out, f)
	}
	return out
}

func clip(f *operationsv1.Failure) *operationsv1.Failure {
	return &operationsv1.Failure{
		Code:        text(f.GetCode(), 128),
		Reason:      f.GetReason(),
		Message:     text(f.GetMessage(), 2000),
		Item:        text(f.GetItem(), 512),
		Retryable:   f.GetRetryable(),
		Remediation: text(f.GetRemediation(), 1000),
		RequestId:   text(f.GetRequestId(), 128),
	}
}

// text is s as PostgreSQL and protobuf accept it, at most limit characters long.
func text(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}

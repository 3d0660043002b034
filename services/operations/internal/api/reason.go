package api

import (
	"strings"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// reasonProto turns the stored word of a failure's reason into the enum. Rows that
// were imported have words of their own, for example "graph_error": these come
// back as FAILURE_REASON_OTHER and the word.
func reasonProto(word string) (operationsv1.FailureReason, string) {
	if word == "" {
		return operationsv1.FailureReason_FAILURE_REASON_UNKNOWN, ""
	}
	reason, ok := errs.FromWord[operationsv1.FailureReason](word)
	if !ok || !writable(reason) || reasonWord(reason) != word {
		return operationsv1.FailureReason_FAILURE_REASON_OTHER, word
	}
	return reason, ""
}

// reasonWord returns the word to store for a reason. A reason that this binary
// does not know, or that no service may give, is stored as "unknown".
func reasonWord(reason operationsv1.FailureReason) string {
	if !writable(reason) {
		reason = operationsv1.FailureReason_FAILURE_REASON_UNKNOWN
	}
	return strings.ToLower(errs.Word(reason))
}

func writable(reason operationsv1.FailureReason) bool {
	return reason != operationsv1.FailureReason_FAILURE_REASON_UNSPECIFIED && reason != operationsv1.FailureReason_FAILURE_REASON_OTHER
}

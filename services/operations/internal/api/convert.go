package api

import (
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

var statuses = map[run.Status]operationsv1.RunStatus{
	run.Queued:    operationsv1.RunStatus_RUN_STATUS_QUEUED,
	run.Running:   operationsv1.RunStatus_RUN_STATUS_RUNNING,
	run.Completed: operationsv1.RunStatus_RUN_STATUS_COMPLETED,
}

var outcomes = map[operationsv1.RunOutcome]run.Outcome{
	operationsv1.RunOutcome_RUN_OUTCOME_PENDING:             run.Pending,
	operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED:           run.Succeeded,
	operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED: run.PartiallySucceeded,
	operationsv1.RunOutcome_RUN_OUTCOME_FAILED:              run.Failed,
	operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED:           run.Cancelled,
}

func outcomeProto(o run.Outcome) operationsv1.RunOutcome {
	for proto, outcome := range outcomes {
		if outcome == o {
			return proto
		}
	}
	return operationsv1.RunOutcome_RUN_OUTCOME_UNSPECIFIED
}

func originProto(o run.Origin) operationsv1.RunOrigin {
	if o == run.Legacy {
		return operationsv1.RunOrigin_RUN_ORIGIN_LEGACY
	}
	return operationsv1.RunOrigin_RUN_ORIGIN_LIVE
}

func toProto(r *run.Run) *operationsv1.Run {
	p := basic(r)
	p.Context = object(r.Context)
	for _, f := range r.Failures {
		reason, other := reasonProto(f.Reason)
		p.FailureSummary = append(p.FailureSummary, &operationsv1.Failure{
			Code: f.Code, Message: f.Message, Item: f.Item, Reason: reason, OtherReason: other,
			Retryable: f.Retryable, Remediation: f.Remediation, RequestId: f.RequestID,
		})
	}
	return p
}

// basic converts r without context and failures, as lists show it.
func basic(r *run.Run) *operationsv1.Run {
	p := &operationsv1.Run{
		Id: r.ID, WorkspaceId: r.WorkspaceID, TenantId: r.TenantID, UserId: r.UserID, InitiatorName: r.InitiatorName,
		Type: r.Type, Status: statuses[r.Status], Outcome: outcomeProto(r.Outcome),
		RunIdentityHash: hex.EncodeToString(r.IdentityHash), SummaryCounts: r.Counts,
		StartTime: stamp(r.StartedAt), CompleteTime: stamp(r.CompletedAt), CreateTime: timestamppb.New(r.CreatedAt),
		UpdateTime: timestamppb.New(r.UpdatedAt), QueueTime: stamp(r.QueuedAt), LeaseEpoch: r.Epoch,
		Attempt: int32(r.Attempt), MaxAttempts: int32(r.MaxAttempts), RetryOf: r.RetryOf, RetryNumber: int32(r.RetryNumber),
		ParentRunId: r.ParentRunID, Traceparent: r.Traceparent, Origin: originProto(r.Origin),
	}
	if r.Lease != nil {
		p.LeaseHolder, p.LeaseExpireTime = r.Lease.Holder, timestamppb.New(r.Lease.ExpiresAt)
	}
	if r.Cancel != nil {
		p.CancelRequestTime, p.CancelRequestedBy, p.CancelReason = timestamppb.New(r.Cancel.At), r.Cancel.By, r.Cancel.Reason
	}
	return p
}

func eventProto(e store.Event) *operationsv1.RunEvent {
	return &operationsv1.RunEvent{
		RunId: e.RunID, Sequence: int32(e.Sequence), EventTime: timestamppb.New(e.At), Kind: e.Kind, Actor: e.Actor,
		Status: statuses[e.Status], Outcome: outcomeProto(e.Outcome), LeaseEpoch: e.Epoch, Attempt: int32(e.Attempt),
		Detail: object(e.Detail),
	}
}

func typeProto(t run.Type) *operationsv1.RunType {
	return &operationsv1.RunType{
		Type: t.Name, Label: t.Label, OwnerService: t.Owner, LeaseSeconds: int32(t.Lease.Seconds()),
		MaxAttempts: int32(t.MaxAttempts), QueueDeadlineSeconds: int32(t.QueueDeadline.Seconds()),
		CancelDeadlineSeconds: int32(t.CancelDeadline.Seconds()), RetentionDays: int32(t.RetentionDays), SearchKeys: t.SearchKeys,
	}
}

func stamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

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

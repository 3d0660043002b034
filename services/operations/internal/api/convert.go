package api

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
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

// Contexts are encoded and decoded by hand. With encoding/json, which goes by way of maps,
// they took a sixth of the service's CPU time.

// appendObject appends s to b as encoding/json encodes the same map: keys sorted, no
// spaces. The numbers of s must be finite.
func appendObject(b []byte, s *structpb.Struct) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendValue(b, s.Fields[key])
	}
	return append(b, '}')
}

func appendValue(b []byte, v *structpb.Value) []byte {
	switch v := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return appendString(b, v.StringValue)
	case *structpb.Value_NumberValue:
		return appendNumber(b, v.NumberValue)
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(b, v.BoolValue)
	case *structpb.Value_StructValue:
		return appendObject(b, v.StructValue)
	case *structpb.Value_ListValue:
		b = append(b, '[')
		for i, value := range v.ListValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, value)
		}
		return append(b, ']')
	default:
		return append(b, "null"...)
	}
}

func appendString(b []byte, s string) []byte {
	special := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) }
	if strings.ContainsFunc(s, special) {
		return appendJSON(b, s)
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendNumber(b []byte, n float64) []byte {
	if whole := int64(n); float64(whole) == n && math.Abs(n) < 1<<53 && !(n == 0 && math.Signbit(n)) {
		return strconv.AppendInt(b, whole, 10)
	}
	return appendJSON(b, n)
}

// appendJSON appends v as encoding/json encodes it. For a string or a finite number, that
// cannot fail.
func appendJSON(b []byte, v any) []byte {
	raw, _ := json.Marshal(v)
	return append(b, raw...)
}

// object decodes a stored JSON object. It returns nil if raw is not an object, or has a
// number that does not fit into a float64.
func object(raw json.RawMessage) *structpb.Struct {
	r := jsonReader{rest: string(raw)}
	s := r.object()
	if r.skip(); r.bad || r.rest != "" {
		return nil
	}
	return s
}

// jsonReader decodes well-formed JSON. If something is malformed, bad is set, and what it
// returns means nothing.
type jsonReader struct {
	rest string
	bad  bool
}

func (r *jsonReader) skip() { r.rest = strings.TrimLeft(r.rest, " \t\r\n") }

// take skips token if it comes next, and reports whether it did.
func (r *jsonReader) take(token string) bool {
	r.skip()
	rest, ok := strings.CutPrefix(r.rest, token)
	r.rest = rest
	return ok
}

// must skips token, which must come next.
func (r *jsonReader) must(token string) { r.bad = !r.take(token) || r.bad }

func (r *jsonReader) object() *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	r.must("{")
	if r.take("}") {
		return s
	}
	for more := true; more && !r.bad; more = r.take(",") {
		key := r.string()
		r.must(":")
		s.Fields[key] = r.value()
	}
	r.must("}")
	return s
}

func (r *jsonReader) list() *structpb.ListValue {
	l := &structpb.ListValue{}
	r.must("[")
	if r.take("]") {
		return l
	}
	for more := true; more && !r.bad; more = r.take(",") {
		l.Values = append(l.Values, r.value())
	}
	r.must("]")
	return l
}

func (r *jsonReader) value() *structpb.Value {
	r.skip()
	switch {
	case strings.HasPrefix(r.rest, "{"):
		return structpb.NewStructValue(r.object())
	case strings.HasPrefix(r.rest, "["):
		return structpb.NewListValue(r.list())
	case strings.HasPrefix(r.rest, `"`):
		return structpb.NewStringValue(r.string())
	case r.take("true"):
		return structpb.NewBoolValue(true)
	case r.take("false"):
		return structpb.NewBoolValue(false)
	case r.take("null"):
		return structpb.NewNullValue()
	default:
		return structpb.NewNumberValue(r.number())
	}
}

func (r *jsonReader) number() float64 {
	end := strings.IndexAny(r.rest, ",]} \t\r\n")
	if end < 0 {
		r.bad = true
		return 0
	}
	n, err := strconv.ParseFloat(r.rest[:end], 64)
	r.rest, r.bad = r.rest[end:], r.bad || err != nil
	return n
}

func (r *jsonReader) string() string {
	r.must(`"`)
	end := strings.IndexAny(r.rest, `"\`)
	if end >= 0 && r.rest[end] == '"' {
		s := r.rest[:end]
		r.rest = r.rest[end+1:]
		return s
	}
	return r.escaped()
}

// escaped decodes the rest of a string that has escapes.
func (r *jsonReader) escaped() string {
	end := 0
	for end < len(r.rest) && r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			end++
		}
		end++
	}
	var s string
	if end >= len(r.rest) || json.Unmarshal([]byte(`"`+r.rest[:end+1]), &s) != nil {
		r.rest, r.bad = "", true
		return ""
	}
	r.rest = r.rest[end+1:]
	return s
}

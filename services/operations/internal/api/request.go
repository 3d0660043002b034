package api

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

const (
	maxContext  = 64 << 10
	maxFailures = 32 << 10
	maxDepth    = 64
)

// start converts a request to the domain, and checks what rules in the proto cannot express.
func (w *writer) start(ctx context.Context, req *operationsv1.StartRunRequest) (run.Start, error) {
	service := rpc.CallerFrom(ctx).Service
	typ, err := w.types.Get(req.Type)
	if err != nil {
		return run.Start{}, err
	}
	if typ.Owner != service {
		return run.Start{}, errs.Denied(run.ReasonTypeNotOwned, "runs of type %s belong to another service", typ.Name)
	}
	context, err := contextJSON(req.Context)
	if err != nil {
		return run.Start{}, err
	}
	s := run.Start{
		WorkspaceID: req.WorkspaceId, TenantID: req.TenantId, UserID: req.UserId,
		InitiatorName: req.InitiatorName, Type: typ, IdentityInputs: req.IdentityInputs, Context: context,
		Caller: service, RequestID: req.RequestId, Policy: policy(req.ConflictPolicy), Holder: req.Holder,
		RetryOf: req.RetryOf, ParentRunID: req.ParentRunId, Traceparent: traceparent(ctx),
	}
	if s.RequestID != "" {
		if s.Digest, err = digest(req, context, actorID(ctx)); err != nil {
			return run.Start{}, err
		}
	}
	return s, initiator(ctx, &s)
}

// initiator sets who starts the run: the end user for whom the call is made, else the one
// that the request names, else the service. A request must not name another user than
// the one for whom it is made.
func initiator(ctx context.Context, s *run.Start) error {
	if a, ok := actor.From(ctx); ok {
		if s.UserID != nil && *s.UserID != a.UserID {
			return errs.Invalid("user_id", "the call is made for user %d", a.UserID)
		}
		s.UserID = &a.UserID
		s.InitiatorName = cmp.Or(s.InitiatorName, a.Name)
	}
	s.InitiatorName = cmp.Or(s.InitiatorName, s.Caller)
	return nil
}

func actorID(ctx context.Context) int64 {
	a, _ := actor.From(ctx)
	return a.UserID
}

// contextJSON encodes a context as compact JSON. It returns an error if it is too large.
func contextJSON(context *structpb.Struct) (json.RawMessage, error) {
	if context == nil {
		return json.RawMessage("{}"), nil
	}
	if err := checkContext(structpb.NewStructValue(context), maxDepth); err != nil {
		return nil, err
	}
	raw := json.RawMessage(appendObject(nil, context)) // keys sorted: the same context is the same bytes
	if len(raw) > maxContext {
		return nil, errs.Invalid("context", "is %d bytes as JSON; at most %d are kept", len(raw), maxContext)
	}
	return raw, nil
}

// checkContext returns an error for a value that JSON cannot express or that is nested too deep.
func checkContext(v *structpb.Value, levels int) error {
	if levels < 0 {
		return errs.Invalid("context", "is nested deeper than %d levels", maxDepth)
	}
	var inside []*structpb.Value
	switch v := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		if math.IsInf(v.NumberValue, 0) || math.IsNaN(v.NumberValue) {
			return errs.Invalid("context", "contains a number that JSON cannot express")
		}
	case *structpb.Value_StructValue:
		inside = slices.Collect(maps.Values(v.StructValue.GetFields()))
	case *structpb.Value_ListValue:
		inside = v.ListValue.GetValues()
	}
	for _, value := range inside {
		if err := checkContext(value, levels-1); err != nil {
			return err
		}
	}
	return nil
}

// digest returns the digest by which a repeated StartRun is recognised. It covers the end
// user and all of the request but its trace and its id, with the context as it is stored.
// See [once.Digest]: what a digest covers, and how that is written, must never change.
func digest(req *operationsv1.StartRunRequest, context json.RawMessage, userID int64) ([]byte, error) {
	content, err := json.Marshal([]any{
		userID, req.WorkspaceId, req.TenantId, req.UserId, req.InitiatorName, req.Type, req.IdentityInputs, context,
		int32(policyOf(req.ConflictPolicy)), req.Holder, req.RetryOf, req.ParentRunId,
	})
	if err != nil {
		return nil, err
	}
	return once.Digest(content), nil
}

func policyOf(p operationsv1.ConflictPolicy) operationsv1.ConflictPolicy {
	return cmp.Or(p, operationsv1.ConflictPolicy_CONFLICT_POLICY_USE_EXISTING)
}

func policy(p operationsv1.ConflictPolicy) run.Policy {
	switch p {
	case operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL:
		return run.FailOnExisting
	case operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING:
		return run.CancelExisting
	default:
		return run.UseExisting
	}
}

// traceparent returns the W3C traceparent of the call, or "" if it is not traced.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// completion converts a request to the domain, and checks its size.
func completion(req *operationsv1.CompleteRunRequest) (run.Completion, error) {
	c := run.Completion{Epoch: req.LeaseEpoch, Outcome: outcomes[req.Outcome], Counts: req.SummaryCounts}
	for _, f := range req.FailureSummary {
		c.Failures = append(c.Failures, run.Failure{
			Code: f.Code, Reason: reasonWord(f.Reason), Message: f.Message, Item: f.Item,
			Retryable: f.Retryable, Remediation: f.Remediation, RequestID: f.RequestId,
		})
	}
	failures, err := json.Marshal(c.Failures)
	if err != nil {
		return c, err
	}
	if len(failures) > maxFailures {
		return c, errs.Invalid("failure_summary", "is %d bytes as JSON; at most %d are kept", len(failures), maxFailures)
	}
	content, err := json.Marshal([]any{c.Outcome, c.Counts, json.RawMessage(failures)})
	if err != nil {
		return c, err
	}
	c.Digest = once.Digest(content)
	return c, nil
}

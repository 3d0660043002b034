package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

func (r *reader) WatchRuns(req *operationsv1.WatchRunsRequest, stream grpc.ServerStreamingServer[operationsv1.WatchRunsResponse]) error {
	f, err := r.watched(req)
	if err != nil {
		return err
	}
	tokens := resumption{pages: r.pages, binding: watchBinding(f)}
	from, err := tokens.open(req.ResumeToken)
	if err != nil {
		return err
	}
	return r.hub.Watch(stream.Context(), f, from, func(t watch.Told) error {
		resp, err := tokens.response(t)
		if err != nil {
			return err
		}
		return stream.Send(resp)
	})
}

// watched converts a request to a filter. Ids and types are sorted, so that requests for
// the same runs have equal filters.
func (r *reader) watched(req *operationsv1.WatchRunsRequest) (watch.Filter, error) {
	f := watch.Filter{
		WorkspaceID: req.WorkspaceId, TenantID: req.TenantId,
		Types: slices.Sorted(slices.Values(req.Types)), RunIDs: slices.Sorted(slices.Values(req.RunIds)),
	}
	for i, name := range req.Types {
		if _, err := r.types.Get(name); err != nil {
			return f, errs.Invalid(fmt.Sprintf("types[%d]", i), "%q is not a run type", name)
		}
	}
	for i, id := range req.RunIds {
		if id <= 0 {
			return f, errs.Invalid(fmt.Sprintf("run_ids[%d]", i), "must be above zero")
		}
	}
	return f, nil
}

func watchBinding(f watch.Filter) string {
	tenant := "all"
	if f.TenantID != nil {
		tenant = fmt.Sprint(*f.TenantID)
	}
	return fmt.Sprintf("WatchRuns|%d|%s|%q|%d", f.WorkspaceID, tenant, f.Types, f.RunIDs)
}

// maxResumeToken is the longest token that the proto allows in a request.
const maxResumeToken = 2048

// resumption seals and opens the resume tokens of one watch.
type resumption struct {
	pages   *page.Sealer
	binding string
}

func (s resumption) open(token string) (*snapshot.Position, error) {
	if token == "" {
		return nil, nil
	}
	var body []byte
	switch err := s.pages.Open(token, s.binding, &body); {
	case errors.Is(err, page.ErrExpired):
		return nil, watch.TooOld(err)
	case err != nil:
		return nil, invalidResumeToken(err)
	}
	at := &snapshot.Position{}
	if err := at.UnmarshalBinary(body); err != nil {
		return nil, invalidResumeToken(err)
	}
	return at, nil
}

func invalidResumeToken(cause error) error {
	return errs.Invalid("resume_token", "is not a token of this watch; begin again without one").
		WithReason("INVALID_RESUME_TOKEN").Wrap(cause)
}

func (s resumption) seal(at snapshot.Position) (string, error) {
	body, err := at.MarshalBinary()
	if err != nil {
		return "", err
	}
	token, err := s.pages.Seal(s.binding, body)
	if err != nil || len(token) <= maxResumeToken || !at.More() {
		return token, err
	}
	// So many transactions ran at once that the exact position is too long for a
	// token. The last safe one is not; a watch that resumes there may get events twice.
	return s.seal(snapshot.Position{After: at.After})
}

func (s resumption) response(t watch.Told) (*operationsv1.WatchRunsResponse, error) {
	if t.Snapshot != nil {
		return &operationsv1.WatchRunsResponse{What: &operationsv1.WatchRunsResponse_Snapshot{Snapshot: basic(t.Snapshot)}}, nil
	}
	token, err := s.seal(t.At)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.WatchRunsResponse{ResumeToken: token}
	if t.Change == nil {
		resp.What = &operationsv1.WatchRunsResponse_Bookmark{Bookmark: &operationsv1.Bookmark{}}
		return resp, nil
	}
	change := &operationsv1.RunChange{Run: basic(t.Change.Run)}
	if t.Change.Event != nil {
		change.Event = eventProto(*t.Change.Event)
	}
	resp.What = &operationsv1.WatchRunsResponse_Change{Change: change}
	return resp, nil
}

const (
	longestWait = 20 * time.Second
	wayBack     = 50 * time.Millisecond // of the caller's deadline, left for the response
)

func (r *reader) WaitRun(ctx context.Context, req *operationsv1.WaitRunRequest) (*operationsv1.WaitRunResponse, error) {
	found, err := visible(ctx, r.store, req.RunId)
	if err != nil {
		return nil, err
	}
	patience := longestWait
	if req.Timeout != nil {
		if patience = req.Timeout.AsDuration(); patience < 0 || !req.Timeout.IsValid() {
			return nil, errs.Invalid("timeout", "must not be negative")
		}
	}
	if found.Status != run.Completed {
		if err := r.await(ctx, found, min(patience, longestWait)); err != nil {
			return nil, err
		}
		if found, err = r.store.Get(ctx, req.RunId); err != nil {
			return nil, err
		}
	}
	return &operationsv1.WaitRunResponse{Run: toProto(found)}, nil
}

// await waits until the run has ended, but returns early enough for the response to reach
// the caller.
func (r *reader) await(ctx context.Context, found *run.Run, patience time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)-wayBack)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.hub.Await(ctx, found)
}

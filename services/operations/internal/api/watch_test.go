package api_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// open begins a watch. It returns functions that receive the next message and that leave.
func open(t *testing.T, reader operationsv1.RunReaderServiceClient, req *operationsv1.WatchRunsRequest) (func() (*operationsv1.WatchRunsResponse, error), context.CancelFunc) {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(leave)
	stream, err := reader.WatchRuns(ctx, req)
	require.NoError(t, err)
	return stream.Recv, leave
}

func TestWatchRuns(t *testing.T) {
	t.Parallel()
	w := setup(t)
	before := w.at(t, "running")
	next, leave := open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1})
	told, err := next()
	require.NoError(t, err)
	require.Equal(t, before.Id, told.GetSnapshot().GetId())
	require.Empty(t, told.ResumeToken)
	told, err = next()
	require.NoError(t, err)
	require.NotNil(t, told.GetBookmark())
	require.NotEmpty(t, told.ResumeToken)

	w.complete(t, before, succeeded)
	told, err = next()
	require.NoError(t, err)
	require.Equal(t, "completed", told.GetChange().GetEvent().GetKind())
	require.Equal(t, succeeded, told.GetChange().GetRun().GetOutcome())
	leave()
	_, err = next()
	require.Equal(t, codes.Canceled, errs.Code(err))

	meanwhile := w.start(t, sync("meanwhile"))
	next, _ = open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1, ResumeToken: told.ResumeToken})
	told, err = next()
	require.NoError(t, err)
	require.Equal(t, meanwhile.Id, told.GetChange().GetEvent().GetRunId())
	told, err = next()
	require.NoError(t, err)
	require.NotNil(t, told.GetBookmark(), "every missed change was sent")
}

func TestWatchRunsByIDShowsEndedRunsToo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ended := w.at(t, "succeeded")
	next, _ := open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1, RunIds: []int64{ended.Id, 1 << 40}})
	told, err := next()
	require.NoError(t, err)
	require.Equal(t, completed, told.GetSnapshot().GetStatus())
	require.Nil(t, told.GetSnapshot().GetContext(), "as lists show it")
}

func TestWatchRunsRefuses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	next, _ := open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1, Types: []string{"inventory_sync"}})
	told, err := next()
	require.NoError(t, err)
	token := told.ResumeToken
	_, member := w.as(t, actor.Readonly)
	tests := map[string]struct {
		req    *operationsv1.WatchRunsRequest
		code   codes.Code
		reason string
	}{
		"foreign workspace":     {&operationsv1.WatchRunsRequest{WorkspaceId: 2}, codes.NotFound, "NOT_FOUND"},
		"no workspace":          {&operationsv1.WatchRunsRequest{}, codes.InvalidArgument, "INVALID_FIELD"},
		"unknown type":          {&operationsv1.WatchRunsRequest{WorkspaceId: 1, Types: []string{"nonsense"}}, codes.InvalidArgument, ""},
		"negative run":          {&operationsv1.WatchRunsRequest{WorkspaceId: 1, RunIds: []int64{-1}}, codes.InvalidArgument, "INVALID_FIELD"},
		"another watch's token": {&operationsv1.WatchRunsRequest{WorkspaceId: 1, ResumeToken: token}, codes.InvalidArgument, "INVALID_RESUME_TOKEN"},
		"a damaged token":       {&operationsv1.WatchRunsRequest{WorkspaceId: 1, Types: []string{"inventory_sync"}, ResumeToken: token[1:]}, codes.InvalidArgument, "INVALID_RESUME_TOKEN"},
	}
	for name, tt := range tests {
		next, _ := open(t, member, tt.req)
		_, err := next()
		require.Equal(t, tt.code, errs.Code(err), "%s: %v", name, err)
		if tt.reason != "" {
			require.Equal(t, tt.reason, errs.Reason(err), name)
		}
	}
	next, _ = open(t, member, &operationsv1.WatchRunsRequest{WorkspaceId: 1, Types: []string{"inventory_sync"}, ResumeToken: token})
	told, err = next()
	require.NoError(t, err)
	require.NotNil(t, told.GetBookmark())
}

// A replica that stops ends its watches at once, with an error that lets clients resume.
func TestWatchesEndWhenTheServiceDrains(t *testing.T) {
	t.Parallel()
	w := setup(t)
	next, _ := open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1})
	_, err := next()
	require.NoError(t, err)
	waiting := w.at(t, "running")
	var group errgroup.Group
	group.Go(func() error {
		_, err := w.reader.WaitRun(t.Context(), &operationsv1.WaitRunRequest{RunId: waiting.Id})
		return err
	})
	w.stopHub()
	for err == nil {
		_, err = next()
	}
	requireRefused(t, err, codes.Unavailable, "DRAINING")
	e, _ := errs.As(err)
	require.Positive(t, e.RetryAfter())
	require.NoError(t, group.Wait(), "a waiter gets the run as it is")
	next, _ = open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1})
	_, err = next()
	requireRefused(t, err, codes.Unavailable, "DRAINING")
}

// The server cuts a client off that does not read, although gRPC still has messages to
// send. The client gets the error when it reads again.
func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	w := setup(t)
	slow, _ := open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1})
	told, err := slow()
	require.NoError(t, err)
	var calls errgroup.Group
	calls.SetLimit(32)
	const runs = 1500
	for i := range runs {
		calls.Go(func() error {
			req := sync(fmt.Sprint("slow ", i))
			req.Holder = "us"
			started, err := w.runs.StartRun(t.Context(), req)
			if err != nil {
				return err
			}
			_, err = w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: started.Run.Id, LeaseEpoch: 1, Outcome: succeeded})
			return err
		})
	}
	require.NoError(t, calls.Wait())
	events := 0
	for {
		resp, err := slow()
		if err != nil {
			requireRefused(t, err, codes.Aborted, "SLOW_CONSUMER")
			break
		}
		told = resp
		events++
	}
	again, _ := open(t, w.reader, &operationsv1.WatchRunsRequest{WorkspaceId: 1, ResumeToken: told.ResumeToken})
	for events < 2*runs {
		resp, err := again()
		require.NoError(t, err)
		if resp.GetChange() != nil {
			events++
		}
	}
	resp, err := again()
	require.NoError(t, err)
	require.NotNil(t, resp.GetBookmark(), "%d events, none twice", events)
}

func TestWaitRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	wait := func(timeout time.Duration) (*operationsv1.Run, error) {
		resp, err := w.reader.WaitRun(t.Context(), &operationsv1.WaitRunRequest{RunId: r.Id, Timeout: durationpb.New(timeout)})
		return resp.GetRun(), err
	}
	for n := range 40 { // the time may be up anywhere
		got, err := wait(time.Duration(n) * 500 * time.Microsecond)
		require.NoError(t, err)
		require.Equal(t, running, got.Status)
	}

	const waiters = 50
	var group errgroup.Group
	ended := make(chan operationsv1.RunStatus, waiters)
	for range waiters {
		group.Go(func() error {
			got, err := wait(time.Hour)
			ended <- got.GetStatus()
			return err
		})
	}
	w.complete(t, r, succeeded)
	require.NoError(t, group.Wait())
	for range waiters {
		require.Equal(t, completed, <-ended)
	}
	got, err := wait(time.Hour)
	require.NoError(t, err)
	require.Equal(t, completed, got.Status)
	require.NotNil(t, got.Context, "in full")
}

func TestWaitRunRefuses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	_, err := w.reader.WaitRun(t.Context(), &operationsv1.WaitRunRequest{RunId: r.Id, Timeout: durationpb.New(-1)})
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	for _, id := range []int64{0, -1, 1 << 40} {
		_, err = w.reader.WaitRun(t.Context(), &operationsv1.WaitRunRequest{RunId: id})
		requireRefused(t, err, codes.NotFound, "NOT_FOUND")
	}
	conn := w.svc.DialActor(t, "gateway", actor.Actor{UserID: 8, Memberships: []actor.Membership{{WorkspaceID: 2, Role: actor.Owner}}})
	_, err = operationsv1.NewRunReaderServiceClient(conn).WaitRun(t.Context(), &operationsv1.WaitRunRequest{RunId: r.Id})
	requireRefused(t, err, codes.NotFound, "NOT_FOUND")
}

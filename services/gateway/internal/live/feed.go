package live

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// WorkspaceEvents streams the runs of a workspace that the query selects: first the
// active ones as they are, or, with Last-Event-ID, what has happened since then;
// after that each run whenever it changes.
func (s *Streams) WorkspaceEvents(w http.ResponseWriter, r *http.Request) {
	ctx, who, err := s.site.Authenticate(r, web.Bearer)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	workspace, ok := web.ParseID(r.PathValue("workspace"))
	if _, member := who.Role(workspace); !ok || !member {
		web.Fail(w, r, errs.NotFound("workspace"))
		return
	}
	wants, err := s.selectionOf(ctx, r.URL.RawQuery)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	ctx, cancel := lifetime(ctx)
	defer cancel()
	f := feed{
		viewer: viewer{streams: s, who: who, workspace: workspace, pace: feedPace, recognised: s.now()},
		wants:  wants, out: s.stream(w, r),
	}
	f.box = s.hub.join(ctx, workspace, wants, who.Actor)
	defer s.hub.leave(workspace, f.box)
	if err := f.follow(ctx); err != nil && !errors.Is(err, errEnough) {
		web.Note(r.Context(), err)
	}
}

// feed is a viewer of the runs of a workspace. It sends them in two ways. To catch
// up, it opens a stream of its own at operations, which tells everything up to now
// and is then closed. After that it sends its mail, which comes from the stream that
// all viewers of the workspace share.
type feed struct {
	viewer
	wants selection
	out   *frames
	told  map[int64]edition // by run, what catching up sent: mail may be older
}

func (f *feed) follow(ctx context.Context) error {
	behind := true
	for {
		var err error
		if behind {
			err = f.catchUp(ctx)
			behind = err != nil
		} else {
			behind, err = f.deliver()
		}
		if behind && err == nil {
			continue
		}
		switch {
		case f.out.broken != nil:
			return f.out.broken
		case refused(err):
			return f.out.send("signed-out", "", nil)
		case err != nil && ctx.Err() == nil:
			web.Note(ctx, err) // and try again
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
		if ctx, err = f.renew(ctx); refused(err) {
			return f.out.send("signed-out", "", nil)
		}
	}
}

// catchUp sends what the viewer has not seen, from the position that it gave as
// Last-Event-ID, or a snapshot if it gave none. If operations cannot go on from that
// position, catchUp sends "reset" and then a snapshot.
func (f *feed) catchUp(ctx context.Context) error {
	f.streams.hub.take(f.box) // what is in the mailbox now, the stream below tells as well
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := f.retell(ctx)
	if f.out.broken == nil && f.out.name != "" && (unresumable(err) || errs.Code(err) == codes.InvalidArgument) {
		if err := f.out.send("reset", "", []byte("{}")); err != nil {
			return err
		}
		f.out.name = ""
		return f.retell(ctx)
	}
	return err
}

// retell sends what a new stream from operations tells before its bookmark, and then
// the bookmark's position. A viewer that named runs and has no position is sent those
// runs instead, active or not.
func (f *feed) retell(ctx context.Context) error {
	stream, err := f.streams.runs.WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: f.workspace, ResumeToken: f.out.name})
	if err != nil {
		return err
	}
	f.told = map[int64]edition{}
	named := f.out.name == "" && len(f.wants.runs) > 0
	for {
		told, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case told.GetBookmark() == nil && named:
			continue
		case told.GetBookmark() == nil:
			if err := f.show(told); err != nil {
				return err
			}
			continue
		case named:
			if err := f.showNamed(ctx); err != nil {
				return err
			}
		}
		return f.out.mark(told.GetResumeToken())
	}
}

// showNamed sends the runs that the viewer named, as they are now. It reads them
// after the bookmark's position was taken, so that no change falls between the two.
func (f *feed) showNamed(ctx context.Context) error {
	stream, err := f.streams.runs.WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: f.workspace, RunIds: f.wants.runs})
	if err != nil {
		return err
	}
	for {
		told, err := stream.Recv()
		if err != nil || told.GetBookmark() != nil {
			return err
		}
		if told.GetSnapshot() == nil {
			continue // a change: it comes by mail
		}
		if err := f.show(told); err != nil {
			return err
		}
	}
}

// show sends a snapshot, or a change with its position, if the viewer wants the run.
func (f *feed) show(told *operationsv1.WatchRunsResponse) error {
	event, change := "change", told.GetChange()
	if told.GetSnapshot() != nil {
		event, change = "snapshot", &operationsv1.RunChange{Run: told.GetSnapshot()}
	}
	if !f.wants.has(change.GetRun()) {
		return nil
	}
	f.told[change.GetRun().GetId()] = editionOf(change)
	data, err := frameOf(change)
	if err != nil {
		return err
	}
	return f.out.send(event, told.GetResumeToken(), data)
}

// deliver sends the mail. The last event carries the position to resume from. If the
// mailbox has lost something, deliver sends nothing and returns true: a position
// would then claim that the viewer has seen what was lost.
func (f *feed) deliver() (lost bool, err error) {
	mail, token, lost := f.streams.hub.take(f.box)
	if lost {
		return true, nil
	}
	fresh := f.fresh(mail)
	if len(fresh) == 0 {
		return false, f.out.beat(token)
	}
	for i, change := range fresh {
		data, err := change.frame()
		if err != nil {
			return false, err
		}
		name := ""
		if i == len(fresh)-1 {
			name = token
		}
		f.out.add("change", name, data)
	}
	return false, f.out.flush()
}

// fresh returns the mail that is newer than what catching up sent, ordered by run.
// For example, the shared stream may deliver "running, 10 of 100" after catching up
// has already sent "running, 20 of 100" of the same run.
func (f *feed) fresh(mail map[int64]*news) []*news {
	var fresh []*news
	for _, number := range slices.Sorted(maps.Keys(mail)) {
		known, told := f.told[number]
		if told && editionOf(mail[number].RunChange).compare(known) <= 0 {
			continue
		}
		delete(f.told, number)
		fresh = append(fresh, mail[number])
	}
	return fresh
}

package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// runEvents is the history of a run as JSON, or, for who accepts
// text/event-stream, what happens to it from now on.
func (a *api) runEvents(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		limited(a).ServeHTTP(w, r)
		return
	}
	ctx, who, err := a.admit(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	token, _ := bearer(r) // admit has seen it
	a.site.followRun(ctx, w, r, reader{site: a.site, token: token, who: who}, showJSON, true)
}

// showJSON sends the run and what changed it, if the reader hasn't got it.
func showJSON(_ context.Context, out *frames, change *operationsv1.RunChange) error {
	data, err := frameOf(change)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if name := hex.EncodeToString(sum[:8]); name != out.name {
		return out.send("run", name, data)
	}
	return out.beat("")
}

// frameOf is a change as the JSON API writes it; an event that is not there is
// left out.
func frameOf(change *operationsv1.RunChange) ([]byte, error) {
	options := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}
	return options.Marshal(change)
}

// workspaceEvents streams what happens to the runs of a workspace that the query
// selects: a snapshot of the active ones, or, with Last-Event-ID, what has
// happened since, then every run that changes as it then is.
func (a *api) workspaceEvents(w http.ResponseWriter, r *http.Request) {
	ctx, who, err := a.admit(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	workspace, ok := parseID(r.PathValue("workspace"))
	if _, member := who.Role(workspace); !ok || !member {
		fail(w, r, errs.NotFound("workspace"))
		return
	}
	wants, err := a.site.selectionOf(ctx, r.URL.RawQuery)
	if err != nil {
		fail(w, r, err)
		return
	}
	ctx, cancel := lifetime(ctx)
	defer cancel()
	token, _ := bearer(r) // admit has seen it
	f := feed{
		reader: reader{site: a.site, token: token, who: who, workspace: workspace, pace: feedPace, recognised: a.site.now()},
		wants:  wants, out: a.site.stream(w, r),
	}
	f.box = a.site.watches.join(ctx, workspace, wants, who)
	defer a.site.watches.leave(workspace, f.box)
	if err := f.follow(ctx); err != nil && !errors.Is(err, errEnough) {
		note(r.Context(), err)
	}
}

// feed is somebody following a workspace.
type feed struct {
	reader
	wants selection
	out   *frames
	told  map[int64]edition // in the last catching up: mail may be behind it
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
			note(ctx, err) // and try again
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
		if ctx, err = f.renew(ctx); refused(err) {
			return f.out.send("signed-out", "", nil)
		}
	}
}

// catchUp tells what the reader missed, on a stream of its own: it ends where
// everything has been told. A place that cannot be gone on from is said to be
// one, and a snapshot follows.
func (f *feed) catchUp(ctx context.Context) error {
	f.site.watches.take(f.box) // what came before is in what we are told now
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

// retell tells what was, to a bookmark, and remembers it. Runs that the reader
// named come at its end, whether they are active or not.
func (f *feed) retell(ctx context.Context) error {
	stream, err := f.site.watches.reader.WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: f.workspace, ResumeToken: f.out.name})
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

// showNamed shows the runs that the reader named, as they are. It comes after a
// place to go on from was given, which is before what they then are.
func (f *feed) showNamed(ctx context.Context) error {
	stream, err := f.site.watches.reader.WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: f.workspace, RunIds: f.wants.runs})
	if err != nil {
		return err
	}
	for {
		told, err := stream.Recv()
		if err != nil || told.GetBookmark() != nil {
			return err
		}
		if told.GetSnapshot() == nil {
			continue // it comes by mail
		}
		if err := f.show(told); err != nil {
			return err
		}
	}
}

// show sends a snapshot, or a change with its place, if the reader wants it.
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

// deliver sends the mail, the place to go on from with its last event, and
// reports whether something may be missing: then there is no such place.
func (f *feed) deliver() (lost bool, err error) {
	mail, token, lost := f.site.watches.take(f.box)
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

// fresh is what the reader has not been told while catching up, by run.
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

package live

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// RunFragments streams one run as HTML: fragment returns the part of its page that
// follows the run. The stream ends with the run, or when the user may no longer see it.
func (s *Streams) RunFragments(credential web.Credential, fragment func(context.Context, *operationsv1.Run) ([]byte, error)) http.HandlerFunc {
	show := func(ctx context.Context, change *operationsv1.RunChange) ([]byte, error) {
		return fragment(ctx, change.GetRun())
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		s.followRun(w, r, credential, runView{show: show})
	}
}

// RunEvents streams one run as JSON to programs that accept text/event-stream. To
// others history serves its events so far.
func (s *Streams) RunEvents(history http.Handler) http.HandlerFunc {
	show := func(_ context.Context, change *operationsv1.RunChange) ([]byte, error) { return frameOf(change) }
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			history.ServeHTTP(w, r)
			return
		}
		s.followRun(w, r, web.Bearer, runView{show: show, full: true})
	}
}

// frameOf writes a change as the JSON API does. A change without an event has no
// field for it.
func frameOf(change *operationsv1.RunChange) ([]byte, error) {
	options := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}
	return options.Marshal(change)
}

// runView is how a stream shows its run.
type runView struct {
	show func(context.Context, *operationsv1.RunChange) ([]byte, error)
	full bool // the end is shown with failures and context, which mail is without
}

// followRun streams the run of the path.
func (s *Streams) followRun(w http.ResponseWriter, r *http.Request, credential web.Credential, view runView) {
	ctx, who, err := s.site.Authenticate(r, credential)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	number, ok := web.ParseID(r.PathValue("run"))
	if !ok {
		web.Fail(w, r, errs.NotFound("run"))
		return
	}
	run, err := s.run(ctx, number)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	ctx, cancel := lifetime(ctx)
	defer cancel()
	f := follower{
		viewer:  viewer{streams: s, who: who, workspace: run.GetWorkspaceId(), pace: livePace, recognised: s.now()},
		runView: view, out: s.stream(w, r),
	}
	if err := f.all(ctx, run); err != nil && !errors.Is(err, errEnough) {
		web.Note(r.Context(), err)
	}
}

func (s *Streams) run(ctx context.Context, id int64) (*operationsv1.Run, error) {
	found, err := s.runs.GetRun(ctx, &operationsv1.GetRunRequest{RunId: id})
	return found.GetRun(), err
}

// follower is a viewer of one run.
type follower struct {
	viewer
	runView
	out *frames
}

// all sends run until it ends.
func (f *follower) all(ctx context.Context, run *operationsv1.Run) error {
	if !words.Active(run) {
		return f.end(ctx, run)
	}
	hub := f.streams.hub
	f.box = hub.join(ctx, f.workspace, selection{runs: []int64{run.GetId()}}, f.who.Actor)
	defer hub.leave(f.workspace, f.box)
	return f.follow(ctx, run)
}

// follow sends run whenever it looks different, and "done" when it has ended.
func (f *follower) follow(ctx context.Context, run *operationsv1.Run) error {
	change := &operationsv1.RunChange{Run: run}
	for {
		if run := change.GetRun(); !words.Active(run) {
			return f.end(ctx, run)
		}
		if err := f.send(ctx, change); err != nil {
			return err
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
		var next *operationsv1.RunChange
		var err error
		if ctx, err = f.renew(ctx); err == nil {
			next, err = f.next(ctx, change)
		}
		switch {
		case err == nil:
			change = next
		case refused(err):
			return f.out.send("signed-out", "", nil)
		case ctx.Err() == nil:
			web.Note(ctx, err) // and try again: the browser keeps what it shows
		}
	}
}

// end sends a run that has ended, and "done".
func (f *follower) end(ctx context.Context, run *operationsv1.Run) error {
	if err := f.send(ctx, &operationsv1.RunChange{Run: run}); err != nil {
		return err
	}
	return f.out.send("done", "", []byte(run.GetOutcome().String()))
}

// send shows the change unless the viewer has it already; then it sends a sign of
// life if one is due. The id of the event is a hash of its data, and browsers send
// back the last id when they reconnect.
func (f *follower) send(ctx context.Context, change *operationsv1.RunChange) error {
	data, err := f.show(ctx, change)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if name := hex.EncodeToString(sum[:8]); name != f.out.name {
		return f.out.send("run", name, data)
	}
	return f.out.beat("")
}

// next returns the run as it is now. That is the latest in the mailbox, if any. The
// run is read from operations instead if the mailbox may have lost something, or if
// the run has ended and the view shows its end in full.
func (f *follower) next(ctx context.Context, before *operationsv1.RunChange) (*operationsv1.RunChange, error) {
	number := before.GetRun().GetId()
	mail, _, lost := f.streams.hub.take(f.box)
	change := before
	if told := mail[number]; told != nil {
		change = told.RunChange
	}
	switch {
	case !lost && older(change.GetRun(), before.GetRun()):
		return before, nil // read from operations before, while this was on its way
	case !lost && (words.Active(change.GetRun()) || !f.full):
		return change, nil
	}
	run, err := f.streams.run(ctx, number)
	if err != nil {
		f.streams.hub.missed(f.box)
		return nil, err
	}
	return &operationsv1.RunChange{Run: run, Event: change.GetEvent()}, nil
}

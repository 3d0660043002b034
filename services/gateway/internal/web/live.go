package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

const (
	liveTick = time.Second      // how often the clock on a page moves
	liveAuth = 55 * time.Second // how long the user's signed token is used
)

func (s *Site) liveOf(run *operationsv1.Run) templates.Live {
	return templates.Live{
		ID: id(run.GetId()), Active: active(run), Badge: badgeOf(run), Progress: progressOf(run),
		Duration: durationOf(run, s.now()), Counters: countersOf(run), Attempt: attemptOf(run),
	}
}

// live streams the state of a run as the page shows it, until the run has ended
// or the reader may no longer see it.
func (s *Site) live(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	token := s.sessions.token(r)
	ctx, who, err := s.admit(r, token)
	if err != nil {
		fail(w, r, err)
		return
	}
	s.followRun(ctx, w, r, reader{site: s, token: token, who: who}, s.showFragment, false)
}

// shower is how a change is shown.
type shower func(context.Context, *frames, *operationsv1.RunChange) error

// followRun streams one run: show says how, full whether its end is shown with
// its failures and context.
func (s *Site) followRun(ctx context.Context, w http.ResponseWriter, r *http.Request, as reader, show shower, full bool) {
	run, err := s.run(ctx, r.PathValue("run"))
	if err != nil {
		fail(w, r, err)
		return
	}
	as.recognised = s.now()
	as.workspace = run.GetWorkspaceId()
	ctx, cancel := lifetime(ctx)
	defer cancel()
	as.pace = livePace
	f := follower{reader: as, out: s.stream(w, r), show: show, full: full}
	if !active(run) {
		if err := f.end(ctx, run); err != nil {
			note(r.Context(), err)
		}
		return
	}
	f.box = s.watches.join(ctx, f.workspace, selection{runs: []int64{run.GetId()}}, as.who)
	defer s.watches.leave(f.workspace, f.box)
	if err := f.follow(ctx, run); err != nil && !errors.Is(err, errEnough) {
		note(r.Context(), err)
	}
}

// lifetime ends a stream some time, not all of them at once: the reader comes again.
func lifetime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, liveLong*4/5+rand.N(liveLong*2/5))
}

// errEnough ends a stream without anything to say.
var errEnough = errors.New("enough")

// reader is who reads a stream.
type reader struct {
	site       *Site
	token      string
	who        actor.Actor
	workspace  int64
	box        *mailbox
	pace       time.Duration // between two looks at mail
	recognised time.Time
	mailed     time.Time // when mail was last looked at
}

// renew recognises the reader again when the signed token on ctx is about to
// expire: who was removed from the workspace finds it gone.
func (r *reader) renew(ctx context.Context) (context.Context, error) {
	if r.site.now().Sub(r.recognised) < liveAuth {
		return ctx, nil
	}
	who, err := r.site.identity.resolve(ctx, r.token)
	if err != nil {
		return ctx, err
	}
	if _, member := who.Role(r.workspace); !member {
		return ctx, errs.NotFound("run")
	}
	signed, err := r.site.identity.carry(ctx, who)
	if err != nil {
		return ctx, err
	}
	r.site.watches.recognised(r.box, who)
	r.recognised = r.site.now()
	return signed, nil
}

// refused reports that the reader may not see this any more.
func refused(err error) bool {
	switch errs.Code(err) {
	case codes.Unauthenticated, codes.NotFound, codes.PermissionDenied:
		return true
	}
	return false
}

// wait returns when there is mail, which comes at once and then at a pace, or at
// the latest after a tick; or when there is nothing to wait for any more.
func (r *reader) wait(ctx context.Context) error {
	mail := r.box.ready
	pace := time.NewTimer(time.Until(r.mailed.Add(r.pace)))
	defer pace.Stop()
	tick := time.NewTimer(liveTick)
	defer tick.Stop()
	if time.Since(r.mailed) < r.pace {
		mail = nil
	}
	for {
		select {
		case <-ctx.Done():
			return errEnough
		case <-r.site.cfg.Closing:
			return errEnough
		case <-pace.C:
			mail = r.box.ready
			continue
		case <-mail:
			r.mailed = time.Now()
		case <-tick.C:
		}
		return nil
	}
}

// follower is somebody following one run.
type follower struct {
	reader
	out  *frames
	show shower
	full bool
}

// follow sends run whenever it looks different, and "done" at its end.
func (f *follower) follow(ctx context.Context, run *operationsv1.Run) error {
	change := &operationsv1.RunChange{Run: run}
	for {
		if run := change.GetRun(); !active(run) {
			return f.end(ctx, run)
		}
		if err := f.show(ctx, f.out, change); err != nil {
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
			note(ctx, err) // and try again: the browser keeps what it shows
		}
	}
}

// end tells the last of a run that has ended.
func (f *follower) end(ctx context.Context, run *operationsv1.Run) error {
	if err := f.show(ctx, f.out, &operationsv1.RunChange{Run: run}); err != nil {
		return err
	}
	return f.out.send("done", "", []byte(run.GetOutcome().String()))
}

// next is the run as it is now: as the mail says, or, if that may have missed
// something or does not say all of a run's end, as it is stored.
func (f *follower) next(ctx context.Context, before *operationsv1.RunChange) (*operationsv1.RunChange, error) {
	number := before.GetRun().GetId()
	mail, _, lost := f.site.watches.take(f.box)
	change := before
	if told := mail[number]; told != nil {
		change = told.RunChange
	}
	switch {
	case !lost && older(change.GetRun(), before.GetRun()):
		return before, nil // we looked, and it was on its way
	case !lost && (active(change.GetRun()) || !f.full):
		return change, nil
	}
	run, err := f.site.run(ctx, id(number))
	if err != nil {
		f.site.watches.missed(f.box)
		return nil, err
	}
	return &operationsv1.RunChange{Run: run, Event: change.GetEvent()}, nil
}

// showFragment sends the page's fragment if the browser hasn't got it, or a sign of life.
func (s *Site) showFragment(ctx context.Context, out *frames, change *operationsv1.RunChange) error {
	var fragment bytes.Buffer
	if err := templates.LiveRun(s.liveOf(change.GetRun())).Render(ctx, &fragment); err != nil {
		return err
	}
	sum := sha256.Sum256(fragment.Bytes())
	if name := hex.EncodeToString(sum[:8]); name != out.name {
		return out.send("run", name, fragment.Bytes())
	}
	return out.beat("")
}

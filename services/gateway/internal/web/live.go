package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

const (
	livePoll  = time.Second      // how often the run is looked at
	liveBeat  = 15 * time.Second // silence a browser gets a comment after
	liveAuth  = 55 * time.Second // how long the user's signed token is used
	liveWrite = 10 * time.Second // a reader slower than this is dropped
	liveLong  = 15 * time.Minute // then the browser comes again
)

func (s *Site) liveOf(run *operationsv1.Run) templates.Live {
	return templates.Live{
		ID: id(run.GetId()), Active: active(run), Badge: badgeOf(run), Progress: progressOf(run),
		Duration: durationOf(run, s.now()), Counters: countersOf(run), Attempt: "attempt " + attemptOf(run),
	}
}

// live streams the state of a run as the page shows it, until the run has ended
// or the reader may no longer see it.
func (s *Site) live(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	token := s.sessions.token(r)
	ctx, _, err := s.admit(r, token)
	if err != nil {
		fail(w, r, err)
		return
	}
	run, err := s.run(ctx, r.PathValue("run"))
	if err != nil {
		fail(w, r, err)
		return
	}
	out := http.NewResponseController(w)
	if err := out.SetReadDeadline(time.Time{}); err != nil { // the server's would end the stream
		note(ctx, err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithTimeout(ctx, liveLong*4/5+rand.N(liveLong*2/5))
	defer cancel()
	f := follower{
		site: s, token: token, request: r, out: out, w: w,
		sent: r.Header.Get("Last-Event-ID"), authorized: s.now(), wrote: s.now(),
	}
	if err := f.follow(ctx, run); err != nil {
		note(r.Context(), err)
	}
}

// follower is one browser following one run.
type follower struct {
	site       *Site
	token      string
	request    *http.Request
	w          http.ResponseWriter
	out        *http.ResponseController
	sent       string    // id of the last fragment the browser has
	authorized time.Time // when the user was last recognised
	wrote      time.Time // when the browser last heard of us
}

// follow sends run whenever it looks different, and "done" at its end.
func (f *follower) follow(ctx context.Context, run *operationsv1.Run) error {
	tick := time.NewTicker(livePoll)
	defer tick.Stop()
	for {
		var (
			next *operationsv1.Run
			err  error
		)
		if err = f.show(ctx, run); err != nil {
			return err
		}
		if !active(run) {
			return f.send("done", "", []byte(run.GetOutcome().String()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.site.cfg.Closing:
			return nil
		case <-tick.C:
		}
		if ctx, err = f.renew(ctx); err == nil {
			next, err = f.site.run(ctx, id(run.GetId()))
		}
		switch errs.Code(err) {
		case codes.OK:
			run = next
		case codes.Unauthenticated, codes.NotFound, codes.PermissionDenied:
			return f.send("signed-out", "", nil)
		case codes.Canceled, codes.DeadlineExceeded:
			if ctx.Err() != nil {
				return nil
			}
		default:
			note(f.request.Context(), err) // and try again: the browser keeps what it shows
		}
	}
}

// renew recognises the reader again when the signed token on ctx is about to expire.
func (f *follower) renew(ctx context.Context) (context.Context, error) {
	if f.site.now().Sub(f.authorized) < liveAuth {
		return ctx, nil
	}
	who, err := f.site.identity.resolve(ctx, f.token)
	if err != nil {
		return ctx, err
	}
	signed, err := f.site.identity.carry(ctx, who)
	if err != nil {
		return ctx, err
	}
	f.authorized = f.site.now()
	return signed, nil
}

// show sends the fragment if the browser hasn't got it, or a sign of life.
func (f *follower) show(ctx context.Context, run *operationsv1.Run) error {
	var fragment bytes.Buffer
	if err := templates.LiveRun(f.site.liveOf(run)).Render(ctx, &fragment); err != nil {
		return err
	}
	sum := sha256.Sum256(fragment.Bytes())
	if name := hex.EncodeToString(sum[:8]); name != f.sent {
		f.sent = name
		return f.send("run", name, fragment.Bytes())
	}
	if f.site.now().Sub(f.wrote) > liveBeat {
		return f.write([]byte(": still here\n\n"))
	}
	return nil
}

// send writes one event. A line break in data begins a new data line.
func (f *follower) send(event, name string, data []byte) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", event)
	if name != "" {
		fmt.Fprintf(&b, "id: %s\n", name)
	}
	for line := range bytes.Lines(append(data, '\n')) {
		fmt.Fprintf(&b, "data: %s\n", bytes.TrimRight(line, "\r\n"))
	}
	b.WriteByte('\n')
	return f.write(b.Bytes())
}

func (f *follower) write(b []byte) error {
	if err := f.out.SetWriteDeadline(f.site.now().Add(liveWrite)); err != nil {
		return err
	}
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	f.wrote = f.site.now()
	return f.out.Flush()
}

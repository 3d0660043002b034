package watch

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

const (
	hintPace   = 10 * time.Millisecond // from one hint to the next, at least
	askPace    = time.Second           // from one look for other replicas to the next, at least
	listenWait = time.Second           // before a lost connection is opened again
)

// hints are what this replica has committed and not yet told the others.
type hints struct {
	wake            chan struct{}
	moved, reported atomic.Bool
}

// text returns the next hint, or "": the name of this replica, and what there is, for
// example "Q3X7 mr" for events (m) and counters (r).
func (s *hints) text(name string) string {
	what := ""
	if s.moved.Swap(false) {
		what += "m"
	}
	if s.reported.Swap(false) {
		what += "r"
	}
	if what == "" {
		return ""
	}
	return name + " " + what
}

// hint sends hints to other replicas until ctx ends, in a goroutine of its own: one for
// everything that was committed since the last. If a hint is lost, the polls of the
// others find what it was about. While no other replica listens, it sends nothing. One
// that begins to listen reads everything that was committed before.
func (h *Hub) hint(ctx context.Context) {
	var seen time.Time // when another replica was last known to listen
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.say.wake:
		}
		pace := hintPace
		switch {
		case time.Since(seen) < askPace:
			h.tell(ctx)
		case h.accompanied(ctx):
			seen = time.Now()
			h.tell(ctx)
		default:
			pace = askPace
		}
		if pause.For(ctx, pace) != nil {
			return
		}
	}
}

// accompanied reports whether another replica listens. It assumes so if it cannot find out.
func (h *Hub) accompanied(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	others, err := h.store.OthersListen(ctx, h.name)
	return others || err != nil
}

// tell sends a hint if there is something to tell.
func (h *Hub) tell(ctx context.Context) {
	text := h.say.text(h.name)
	if text == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	_ = h.store.Notify(ctx, text) // it is only a hint
}

// listen receives the hints of other replicas until ctx ends, on a connection of its own.
// If that connection fails, it opens another.
func (h *Hub) listen(ctx context.Context) {
	for {
		err := h.store.Listen(ctx, h.name, h.silence, h.heard)
		if ctx.Err() != nil {
			return
		}
		h.log.WarnContext(ctx, "watch: the listening connection was lost and is opened again", "err", err)
		if pause.For(ctx, listenWait) != nil {
			return
		}
	}
}

// heard notes what a hint says and wakes the reader. "" is a hint of anything.
func (h *Hub) heard(hint string) {
	name, what, _ := strings.Cut(hint, " ")
	if name == h.name {
		return
	}
	if name == "" || strings.Contains(what, "m") {
		h.moved.Store(true)
	}
	if name == "" || strings.Contains(what, "r") {
		h.scan.Store(true)
	}
	nudge(h.wake)
}

package watch

import (
	"context"
	"strings"
	"sync/atomic"
	"time"
)

const (
	hintPace   = 10 * time.Millisecond // at most so often other replicas are told
	listenWait = time.Second           // before a lost connection is made again
)

// hints are what the other replicas should know.
type hints struct {
	wake            chan struct{}
	moved, reported atomic.Bool
}

// text is the hint: who says it, and what of. Empty if there is nothing to say.
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

// hint tells other replicas, behind the calls, one notification for all that was
// committed meanwhile. One that is lost is made good by their polls.
func (h *Hub) hint(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.say.wake:
		}
		if text := h.say.text(h.name); text != "" {
			within, cancel := context.WithTimeout(ctx, reading)
			_ = h.store.Notify(within, text) // a hint
			cancel()
		}
		if !rest(ctx, hintPace) {
			return
		}
	}
}

// listen hears what other replicas hint at, on a connection of its own that is
// made again when it is lost, or has died in silence.
func (h *Hub) listen(ctx context.Context) {
	for {
		err := h.store.Listen(ctx, h.silence, h.heard)
		if ctx.Err() != nil {
			return
		}
		h.log.WarnContext(ctx, "watch: the listening connection is made again", "err", err)
		if !rest(ctx, listenWait) {
			return
		}
	}
}

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

package watch

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

const (
	hintPace   = 10 * time.Millisecond // at most so often other replicas are told
	askPace    = time.Second           // at most so often it is asked whether there are any
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
// committed meanwhile. One that is lost is made good by their polls. A replica
// alone tells nobody: what it has not said waits until somebody listens, who by
// then has heard of all that was committed before.
func (h *Hub) hint(ctx context.Context) {
	var asked time.Time // when somebody last listened
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.say.wake:
		}
		pace := hintPace
		switch {
		case time.Since(asked) < askPace:
			h.tell(ctx)
		case h.accompanied(ctx):
			asked = time.Now()
			h.tell(ctx)
		default:
			pace = askPace
		}
		if pause.For(ctx, pace) != nil {
			return
		}
	}
}

// accompanied reports whether other replicas listen, or may.
func (h *Hub) accompanied(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	others, err := h.store.OthersListen(ctx, h.name)
	return others || err != nil
}

func (h *Hub) tell(ctx context.Context) {
	text := h.say.text(h.name)
	if text == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	_ = h.store.Notify(ctx, text) // a hint
}

// listen hears what other replicas hint at, on a connection of its own that is
// made again when it is lost, or has died in silence.
func (h *Hub) listen(ctx context.Context) {
	for {
		err := h.store.Listen(ctx, h.name, h.silence, h.heard)
		if ctx.Err() != nil {
			return
		}
		h.log.WarnContext(ctx, "watch: the listening connection is made again", "err", err)
		if pause.For(ctx, listenWait) != nil {
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

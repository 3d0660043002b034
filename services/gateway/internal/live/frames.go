package live

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

const (
	liveBeat  = 15 * time.Second       // after this silence the viewer is sent a sign of life
	livePace  = 250 * time.Millisecond // between frames of one run
	feedPace  = 100 * time.Millisecond // between frames of a workspace: a run's first change waits at most this long behind other runs
	liveWrite = 10 * time.Second       // a write that takes longer ends the stream
	liveLong  = 15 * time.Minute       // how long a stream lasts; then the viewer connects again
)

// frames is a text/event-stream to one viewer.
type frames struct {
	w      http.ResponseWriter
	out    *http.ResponseController
	now    func() time.Time
	next   bytes.Buffer // what the next flush writes
	wrote  time.Time    // time of the last flush
	name   string       // id of the last event
	broken error        // error of the last flush
}

// stream begins a text/event-stream.
func (s *Streams) stream(w http.ResponseWriter, r *http.Request) *frames {
	out := http.NewResponseController(w)
	if err := out.SetReadDeadline(time.Time{}); err != nil { // the server's would end the stream
		web.Note(r.Context(), err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return &frames{w: w, out: out, now: s.now, wrote: s.now(), name: r.Header.Get("Last-Event-ID")}
}

// send writes one event.
func (f *frames) send(event, name string, data []byte) error {
	f.add(event, name, data)
	return f.flush()
}

// add puts one event into the next frame. Each line of data becomes a data line. An
// event without data has one empty data line, or browsers would ignore the event.
func (f *frames) add(event, name string, data []byte) {
	fmt.Fprintf(&f.next, "event: %s\n", event)
	if name != "" {
		fmt.Fprintf(&f.next, "id: %s\n", name)
		f.name = name
	}
	for line := range bytes.SplitSeq(data, []byte{'\n'}) { // the data has text of other people in it
		fmt.Fprintf(&f.next, "data: %s\n", bytes.TrimRight(line, "\r"))
	}
	f.next.WriteByte('\n')
}

// mark sends an id without an event. Browsers remember it and send it back when they
// reconnect.
func (f *frames) mark(name string) error {
	f.name = name
	fmt.Fprintf(&f.next, "id: %s\n\n", name)
	return f.flush()
}

// beat sends a sign of life if the stream has been silent for long, with the new id
// if it has changed.
func (f *frames) beat(name string) error {
	if f.now().Sub(f.wrote) < liveBeat {
		return nil
	}
	f.next.WriteString(": still here\n")
	if name != "" && name != f.name {
		return f.mark(name)
	}
	f.next.WriteByte('\n')
	return f.flush()
}

// flush writes what was added.
func (f *frames) flush() error {
	defer f.next.Reset()
	err := f.out.SetWriteDeadline(f.now().Add(liveWrite))
	if err == nil {
		_, err = f.w.Write(f.next.Bytes())
	}
	if err == nil {
		f.wrote = f.now()
		err = f.out.Flush()
	}
	f.broken = err
	return err
}

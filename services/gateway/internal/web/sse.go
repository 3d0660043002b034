package web

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
)

const (
	liveBeat  = 15 * time.Second       // silence a reader gets a sign of life after
	livePace  = 250 * time.Millisecond // between frames about one run
	feedPace  = 100 * time.Millisecond // between frames about many: one run's first change waits for others no longer
	liveWrite = 10 * time.Second       // a reader slower than this is dropped
	liveLong  = 15 * time.Minute       // then the reader comes again
)

// frames is a text/event-stream to one reader.
type frames struct {
	w      http.ResponseWriter
	out    *http.ResponseController
	now    func() time.Time
	next   bytes.Buffer // what the next write writes
	wrote  time.Time    // when the reader last heard of us
	name   string       // id of the last event
	broken error        // of the last write
}

func (s *Site) stream(w http.ResponseWriter, r *http.Request) *frames {
	out := http.NewResponseController(w)
	if err := out.SetReadDeadline(time.Time{}); err != nil { // the server's would end the stream
		note(r.Context(), err)
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

// add puts one event into the next frame. A line break in data begins a new data
// line; without data there is an empty one, or browsers would not tell of the event.
func (f *frames) add(event, name string, data []byte) {
	fmt.Fprintf(&f.next, "event: %s\n", event)
	if name != "" {
		fmt.Fprintf(&f.next, "id: %s\n", name)
		f.name = name
	}
	for line := range bytes.SplitSeq(data, []byte{'\n'}) { // data is others' too
		fmt.Fprintf(&f.next, "data: %s\n", bytes.TrimRight(line, "\r"))
	}
	f.next.WriteByte('\n')
}

// mark says where to go on from: no event, but the reader remembers it.
func (f *frames) mark(name string) error {
	f.name = name
	fmt.Fprintf(&f.next, "id: %s\n\n", name)
	return f.flush()
}

// beat is a sign of life if one is due, and with it where to go on from, if that
// has moved.
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

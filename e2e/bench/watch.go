package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// sighting is the moment at which a watcher saw a run in a state.
type sighting struct {
	run   int64
	state int
	at    time.Time
}

// view is everything that one stream showed. A page shows one run, beginning with its state
// when the page opened. The stream of the workspace shows all runs that begin while it is open.
type view struct {
	page bool
	run  int64
	from int
	seen []sighting
}

// audience is all watchers.
type audience struct {
	world    *world
	openings chan int64   // runs whose page has to be opened
	ready    atomic.Int64 // streams that have their snapshot
	ended    atomic.Int64 // ends of runs that streams saw
	open     atomic.Int64 // open pages
	most     atomic.Int64 // the highest number of open pages
	news     chan struct{}

	mu    sync.Mutex
	views []view
}

func newAudience(w *world) *audience {
	return &audience{world: w, openings: make(chan int64, 10*w.opts.pages), news: make(chan struct{}, 1)}
}

// keep adds the view of a stream.
func (a *audience) keep(v view) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.views = append(a.views, v)
}

func (a *audience) stir() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// wait waits until count is at least enough.
func (a *audience) wait(ctx context.Context, count *atomic.Int64, enough int64) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for count.Load() < enough {
		select {
		case <-a.news:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d: %w", count.Load(), enough, context.Cause(ctx))
		}
	}
	return nil
}

// opened is called with every run that begins. It opens so many pages of the run that all
// browsers are busy.
func (a *audience) opened(id int64) {
	o := a.world.opts
	each := int(float64(o.pages)/(o.rate*o.life.Seconds())) + 1
	for range each {
		select {
		case a.openings <- id:
		default:
			return // all browsers are busy
		}
	}
}

// follow reads the stream of the workspace until ctx ends.
func (a *audience) follow(ctx context.Context, m member) (err error) {
	body, err := a.listen(ctx, "/api/v1/workspaces/"+a.world.workspace+"/operations:watch", m, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	v := view{from: -1}
	defer func() { a.keep(v) }()
	last, ready := a.world.opts.states()-1, false
	err = eachEvent(body, func(name, id string, data []byte) bool {
		if !ready && id != "" {
			ready = true
			a.ready.Add(1)
			a.stir()
		}
		if name == "change" {
			s := sighting{run: runOf(data), state: stateOf(data, last), at: time.Now()}
			v.seen = append(v.seen, s)
			if s.state == last {
				a.ended.Add(1)
				a.stir()
			}
		}
		return true
	})
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("a workspace's stream ended"), err)
}

// browse opens one page after the other, as a browser.
func (a *audience) browse(ctx context.Context, m member) error {
	for id := range a.openings {
		if err := a.look(ctx, m, id); err != nil {
			return fmt.Errorf("page of run %d: %w", id, err)
		}
	}
	return nil
}

// look follows the page of a run to its end.
func (a *audience) look(ctx context.Context, m member, id int64) error {
	body, err := a.listen(ctx, fmt.Sprintf("/operations/%d/live", id), member{}, m.session)
	if err != nil {
		return err
	}
	defer body.Close()
	a.most.Store(max(a.most.Load(), a.open.Add(1))) // exact enough
	defer a.open.Add(-1)
	v := view{page: true, run: id, from: -1}
	last, done := a.world.opts.states()-1, false
	err = eachEvent(body, func(name, _ string, data []byte) bool {
		state := shownState(data, last)
		if done = name == "done"; done {
			state = last
		}
		if v.from < 0 {
			v.from = state // the state when the page opened
		} else {
			v.seen = append(v.seen, sighting{run: id, state: state, at: time.Now()})
		}
		return !done
	})
	a.keep(v)
	if !done {
		return errors.Join(errors.New("the stream ended before the run"), err)
	}
	return nil
}

func (a *audience) listen(ctx context.Context, path string, m member, session *http.Cookie) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.world.site(path), nil)
	if err != nil {
		return nil, err
	}
	if session != nil {
		req.AddCookie(session)
	} else {
		req.Header.Set("Authorization", "Bearer "+m.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return resp.Body, nil
}

// eachEvent calls told with each event of a stream, until told returns false. Data is valid
// until told returns.
func eachEvent(body io.Reader, told func(name, id string, data []byte) bool) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 16<<10), 1<<20)
	var name, id string
	var data []byte
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(field) {
		case "event":
			name = string(value)
		case "id":
			id = string(value)
		case "data":
			data = append(data, value...)
		case "":
			if (name != "" || id != "") && !told(name, id, data) {
				return nil
			}
			name, id, data = "", "", data[:0]
		}
	}
	return lines.Err()
}

// runOf returns the id of the run in a change of the JSON API: the first id in it.
func runOf(data []byte) int64 { return numberAfter(data, `"id":`) }

// stateOf returns the state of the run in a change of the JSON API.
func stateOf(data []byte, last int) int {
	if bytes.Contains(data, []byte(`"RUN_STATUS_COMPLETED"`)) {
		return last
	}
	return int(max(numberAfter(data, `"processed":`), 0))
}

// shownState returns the state of the run in a frame of its page.
func shownState(data []byte, last int) int {
	if bytes.Contains(data, []byte(`data-word="Succeeded"`)) {
		return last
	}
	return int(max(numberAfter(data, ` value=`), 0))
}

// numberAfter looks for what in data and parses the quoted number that follows. It
// returns -1 if data does not contain what, or no number follows. Example: for
// `{"id":"42"}` and `"id":` it returns 42.
func numberAfter(data []byte, what string) int64 {
	at := bytes.Index(data, []byte(what))
	if at < 0 {
		return -1
	}
	_, rest, _ := bytes.Cut(data[at+len(what):], []byte{'"'})
	number, _, _ := bytes.Cut(rest, []byte{'"'})
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// gather starts all watchers, and returns the function that ends them.
func (a *audience) gather(ctx context.Context) (leave func() error, err error) {
	o, members := a.world.opts, a.world.members
	watching, stop := context.WithCancel(ctx)
	streams, watching := errgroup.WithContext(watching)
	pages, browsing := errgroup.WithContext(ctx)
	for n := range o.streams {
		streams.Go(func() error { return a.follow(watching, members[n%len(members)]) })
	}
	for n := range o.pages {
		pages.Go(func() error { return a.browse(browsing, members[n%len(members)]) })
	}
	leave = sync.OnceValue(func() error {
		close(a.openings)
		err := pages.Wait()
		stop()
		return errors.Join(err, streams.Wait())
	})
	if err := a.wait(watching, &a.ready, int64(o.streams)); err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("streams: %w", err), leave())
	}
	return leave, nil
}

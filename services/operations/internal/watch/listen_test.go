package watch

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// If the server ends the listening connection, it is opened again, and what was committed
// in between is delivered.
func TestTheListeningConnectionIsEnded(t *testing.T) {
	t.Parallel()
	db := database(t)
	ours, theirs := replica(t, db.Pool), replica(t, db.Pool)
	w := watch(t, ours, Filter{WorkspaceID: 1}, nil)
	w.next(t)
	require.Equal(t, "created", w.heard(t, theirs))
	for range 3 {
		_, err := db.Pool.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and query like 'listen %'`)
		require.NoError(t, err)
		require.Equal(t, "created", w.heard(t, theirs))
	}
}

// heard starts a run at another replica and returns what w is told about it.
func (w *watching) heard(t *testing.T, theirs *Hub) string {
	t.Helper()
	r := start(t, theirs, fmt.Sprint(time.Now()))
	told := w.event(t)
	require.Equal(t, r.ID, told.Change.Run.ID)
	return told.Change.Event.Kind
}

// A listening connection that is dead, although neither side closed it, is noticed and
// opened again.
func TestTheListeningConnectionDiesInSilence(t *testing.T) {
	t.Parallel()
	db := database(t)
	wire := &wires{}
	ours := replica(t, wire.pool(t, db.URL), func(h *Hub) { h.silence = 200 * time.Millisecond })
	theirs := replica(t, db.Pool)
	w := watch(t, ours, Filter{WorkspaceID: 1}, nil)
	w.next(t)
	require.Equal(t, "created", w.heard(t, theirs))
	require.Equal(t, 1, wire.blacken(), "connections that listen")
	require.Equal(t, "created", w.heard(t, theirs))
	require.Equal(t, "created", w.heard(t, theirs))
}

// wires are the connections of a pool. Those that listen can be cut so that neither side
// notices.
type wires struct {
	mu    sync.Mutex
	conns []*wire
}

func (s *wires) pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		w := &wire{Conn: conn}
		s.conns = append(s.conns, w)
		return w, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (s *wires) blacken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, w := range s.conns {
		if w.listens.Load() {
			w.black.Store(true)
			n++
		}
	}
	return n
}

type wire struct {
	net.Conn
	listens, black atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("listen "+"operations_changed")) {
		w.listens.Store(true)
	}
	if w.black.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if err != nil || !w.black.Load() {
			return n, err
		}
	}
}

// A thousand watchers are given the same change, not a copy each, and leave no goroutine
// behind.
func TestAThousandWatchers(t *testing.T) {
	t.Parallel()
	const watchers, events = 1000, 20
	h := replica(t, database(t).Pool, func(h *Hub) { h.bookmark = time.Hour })
	before := heap()
	var told atomic.Int64
	var shared sync.Map // the run of each change, by its id
	ready := make(chan struct{}, watchers)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var group errgroup.Group
	for range watchers {
		group.Go(func() error {
			err := h.Watch(ctx, Filter{WorkspaceID: 1}, nil, func(what Told) error {
				if what.Change == nil {
					ready <- struct{}{}
					return nil
				}
				run := what.Change.Run
				if first, _ := shared.LoadOrStore(run.ID, run); first != run {
					return fmt.Errorf("run %d has a copy for each watcher", run.ID)
				}
				if told.Add(1) == watchers*events {
					leave()
				}
				return nil
			})
			if ctx.Err() != nil {
				return nil
			}
			leave() // the others need not wait for the rest
			return err
		})
	}
	for range watchers {
		select {
		case <-ready:
		case <-ctx.Done():
			require.NoError(t, group.Wait())
		}
	}
	require.Less(t, heap()-before, int64(128<<20), "bytes for all of them, and for the tests beside this one")
	for i := range events {
		start(t, h, fmt.Sprint(i))
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, watchers*events, told.Load())
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Empty(t, h.rooms)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far from the limit
}

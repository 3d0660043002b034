package watch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

func database(t *testing.T) *pgtest.DB {
	t.Helper()
	return pgtest.New(t, "operations", migrate)
}

// pool returns another pool, for code that must not wait for the connections of others.
func pool(t *testing.T, db *pgtest.DB, conns int32) *pgxpool.Pool {
	t.Helper()
	p, err := pg.Open(t.Context(), db.URL, conns)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// replica returns a hub of db that works until the test ends. It polls rarely, unless the
// test changes that: so a change that arrives in time came by a hint or a commit.
func replica(t *testing.T, db *pgxpool.Pool, change ...func(*Hub)) *Hub {
	t.Helper()
	h := New(store.New(db, run.DefaultTypes()), slog.New(slog.NewTextHandler(t.Output(), nil)))
	h.poll = time.Hour
	for _, c := range change {
		c(h)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { h.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return h
}

// ask returns a start of a run of workspace 1 that is leased at once.
func ask(t *testing.T, h *Hub, inputs string) run.Start {
	t.Helper()
	typ, err := run.DefaultTypes().Get("inventory_sync")
	require.NoError(t, err)
	digest := sha256.Sum256([]byte(inputs))
	tenant := int64(5)
	return run.Start{
		WorkspaceID: 1, TenantID: &tenant, InitiatorName: "test", Type: typ, IdentityInputs: inputs,
		Context: []byte("{}"), Caller: "inventory", Holder: "us", Digest: digest[:], Policy: run.UseExisting,
	}
}

func start(t *testing.T, h *Hub, inputs string) *run.Run {
	t.Helper()
	s, err := h.store.Start(t.Context(), ask(t, h, inputs))
	require.NoError(t, err)
	require.True(t, s.Started)
	return s.Run
}

func complete(t *testing.T, h *Hub, r *run.Run) {
	t.Helper()
	digest := sha256.Sum256([]byte("done"))
	_, err := h.store.Complete(t.Context(), "inventory", r.ID, run.Completion{Epoch: r.Epoch, Outcome: run.Succeeded, Digest: digest[:]})
	require.NoError(t, err)
}

// watching is a watch as its client sees it.
type watching struct {
	told  chan Told
	ended chan error
	leave context.CancelFunc
}

func watch(t *testing.T, h *Hub, f Filter, from *snapshot.Position) *watching {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	w := &watching{told: make(chan Told), ended: make(chan error, 1), leave: leave}
	t.Cleanup(leave)
	go func() {
		w.ended <- h.Watch(ctx, f, from, func(told Told) error {
			select {
			case w.told <- told:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return w
}

const soon = 20 * time.Second

func (w *watching) next(t *testing.T) Told {
	t.Helper()
	select {
	case told := <-w.told:
		return told
	case err := <-w.ended:
		t.Fatalf("ended: %v", err)
	case <-time.After(soon):
		t.Fatal("told nothing")
	}
	return Told{}
}

func (w *watching) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(soon):
		t.Fatal("did not end")
	}
	return nil
}

// event returns the next change with an event.
func (w *watching) event(t *testing.T) Told {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 2*soon; {
		if told := w.next(t); told.Change != nil && told.Change.Event != nil {
			return told
		}
	}
	t.Fatal("told of no event")
	return Told{}
}

func (told Told) String() string {
	switch {
	case told.Snapshot != nil:
		return fmt.Sprint("snapshot ", told.Snapshot.ID)
	case told.Change == nil:
		return "bookmark"
	case told.Change.Event == nil:
		return fmt.Sprint("progress ", told.Change.Run.ID, " ", told.Change.Run.Counts)
	}
	return fmt.Sprint(told.Change.Event.Kind, " ", told.Change.Run.ID)
}

// slowly writes a run of workspace 1 with some events, in transactions that take a random
// time, so that those of several writers end in any order.
func slowly(ctx context.Context, db *pgxpool.Pool, name string, events int) error {
	hash := sha256.Sum256([]byte(name))
	var id int64
	for sequence := range events {
		err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
			if sequence == 0 {
				err := tx.QueryRow(ctx, `insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts)
					values (1, 'x', 'inventory_sync', 'queued', 'pending', $1, now(), 3) returning id`, hash[:]).Scan(&id)
				if err != nil {
					return err
				}
			} else if _, err := tx.Exec(ctx, "select from operation_runs where id = $1 for update", id); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
				values ($1, $2, 'created', 'x', 'queued', 'pending', 0, 0)`, id, sequence+1)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "select pg_sleep($1)", float64(rand.IntN(60))/1000)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

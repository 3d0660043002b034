package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrLockLost is the cause of a context that ended because its [Lock] was lost.
var ErrLockLost = errors.New("the lock on the policy type was lost with its connection")

const (
	lockAttempt = 500 * time.Millisecond
	lockPing    = 5 * time.Second
	// A process that hangs keeps its connections. The server ends a connection that
	// is silent for this long, and the lock with it.
	lockSilence = "25s"
)

// Lock is the right to read one type of one tenant. It lasts as long as its own
// connection to the database.
type Lock struct{ conn *pgx.Conn }

const takeLock = `-- store.takeLock
	select pg_try_advisory_lock(hashtextextended(format('inventory read %s %s', $1::bigint, $2::text), 0))`

// Lock waits until nobody else reads the type, or ctx ends.
func (s *Store) Lock(ctx context.Context, tenantID int64, typ string) (*Lock, error) {
	cfg := s.db.Config().ConnConfig
	cfg.RuntimeParams["idle_session_timeout"] = lockSilence
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to lock %s: %w", typ, err)
	}
	l := &Lock{conn: conn}
	if err := l.take(ctx, tenantID, typ); err != nil {
		l.Release()
		return nil, fmt.Errorf("lock %s: %w", typ, err)
	}
	return l, nil
}

// take tries again and again: a statement that waited would run into the time limit
// that is meant for all others.
func (l *Lock) take(ctx context.Context, tenantID int64, typ string) error {
	again := time.NewTicker(lockAttempt)
	defer again.Stop()
	for {
		var taken bool
		err := l.conn.QueryRow(ctx, takeLock, tenantID, typ).Scan(&taken)
		if err != nil || taken {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again.C:
		}
	}
}

// Hold returns a context that ends when the lock is lost, and a function that ends
// the context. Whatever the lock protects must be written under that context.
func (l *Lock) Hold(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.watch(ctx); err != nil {
			cancel(ErrLockLost)
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// watch returns nil when ctx ends, and an error as soon as the connection is lost.
// It waits for a notification that never comes, because a wait notices a closed
// connection at once. The ping notices a connection that died without a word.
func (l *Lock) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		quiet, cancel := context.WithTimeout(ctx, lockPing)
		_, err := l.conn.WaitForNotification(quiet)
		cancel()
		if err != nil && !pgconn.Timeout(err) && ctx.Err() == nil {
			return err
		}
		alive, cancel := context.WithTimeout(ctx, lockPing)
		err = l.conn.Ping(alive)
		cancel()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// Release gives the lock back. Call it after the context of [Lock.Hold] has ended.
func (l *Lock) Release() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // closed or broken, the server drops the lock
}

package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// workLock is held, shared, by every connection of the tool. After a process is killed,
// the server still finishes its last statement and may commit it; [outlive] waits for that.
const workLock = 0x7461_6b66

const shareWorkLock = `-- takeover.shareWorkLock
	select pg_advisory_lock_shared($1)`

const passWorkLock = `-- takeover.passWorkLock
	select pg_advisory_lock($1)`

// lastStatement bounds how long a start waits for the last statement of a killed process.
const lastStatement = `-- takeover.lastStatement
	set lock_timeout = '30s'`

var errHaunted = errors.New("the server is still executing a statement of a process that was killed: wait until it has ended, and try again")

// outlive waits until no statement of another process of the tool runs in a database.
func outlive(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // closing releases the lock
	if _, err := conn.Exec(ctx, lastStatement); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, passWorkLock, workLock)
	if query.Crowded(err) {
		return errHaunted
	}
	return err
}

// toolLock is held in the legacy database while the tool works on it.
const toolLock = 0x7461_6b65

// It waits, up to lock_timeout: the connections of a process that was killed a moment
// ago may still be open.
const takeToolLock = `-- takeover.takeToolLock
	select pg_advisory_lock($1)`

var errBusy = errors.New("another process works on this takeover: wait for it, or stop it")

// lock takes the lock on a connection of its own, which stays open as long as the ledger.
func (l *Ledger) lock(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	if l.held, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		return fmt.Errorf("%sLEGACY_URL: %w", EnvPrefix, err)
	}
	if _, err := l.held.Exec(ctx, takeToolLock, toolLock); err != nil {
		if query.Crowded(err) {
			return errBusy
		}
		return fmt.Errorf("lock the takeover: %w", err)
	}
	return nil
}

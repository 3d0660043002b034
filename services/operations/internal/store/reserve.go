package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

const nextIDSQL = `-- store.nextID
	select case when is_called then last_value + 1 else last_value end from operation_runs_id_seq`

// Waits for transactions that have taken an id, and keeps others from taking one until
// the sequence is set.
const lockRunsSQL = `-- store.lockRuns
	lock table operation_runs in share row exclusive mode`

const firstLiveWithinSQL = `-- store.firstLiveWithin
	select coalesce((select id from operation_runs where id <= $1 and origin = 'live' order by id limit 1), 0)`

// Never sets the sequence back: ids would be used twice.
const reserveIDsSQL = `-- store.reserveIDs
	select setval('operation_runs_id_seq', greatest(last_value, $1)) from operation_runs_id_seq`

// ReserveIDs makes sure that no run which starts from now on gets an id from 1 to n. It
// connects as the owner role of ownerURL. It returns the id of the next run, and whether
// this call changed it. It returns an error if a run that started here has such an id.
func ReserveIDs(ctx context.Context, ownerURL string, n int64) (next int64, moved bool, err error) {
	db, err := pg.Open(ctx, ownerURL, 1)
	if err != nil {
		return 0, false, err
	}
	defer db.Close()
	err = pg.InTx(ctx, db, func(tx pgx.Tx) error {
		next, moved, err = reserve(ctx, tx, n)
		return err
	})
	return next, moved, err
}

func reserve(ctx context.Context, tx pgx.Tx, n int64) (next int64, moved bool, err error) {
	if err := tx.QueryRow(ctx, nextIDSQL).Scan(&next); err != nil {
		return 0, false, fmt.Errorf("next run id: %w", err)
	}
	if moved = next <= n; moved {
		if _, err := tx.Exec(ctx, lockRunsSQL); err != nil {
			return 0, false, fmt.Errorf("lock runs: %w", err)
		}
	}
	var taken int64
	if err := tx.QueryRow(ctx, firstLiveWithinSQL, n).Scan(&taken); err != nil {
		return 0, false, fmt.Errorf("first run within %d: %w", n, err)
	}
	if taken > 0 {
		return 0, false, errs.Conflict("RUN_ID_TAKEN", "run %d started here, so not all of them are free; the older runs can be taken over with an offset", taken)
	}
	if moved {
		if err := tx.QueryRow(ctx, reserveIDsSQL, n).Scan(&next); err != nil {
			return 0, false, fmt.Errorf("reserve ids: %w", err)
		}
		next++
	}
	return next, moved, nil
}

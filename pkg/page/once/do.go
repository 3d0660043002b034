package once

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the table in which [Do] remembers requests; it is a
// service.Fragment. Tenancy does not need it: its own migrations make that table.
func Migrate(ctx context.Context, ownerURL, appRole string) error {
	return pg.Fragment{Name: "once", Migrations: migrations, Tables: []string{"answered_request"}}.Migrate(ctx, ownerURL, appRole)
}

const claimRequest = `-- once.claimRequest
	insert into answered_request (workspace_id, service, request_id, digest)
	values (nullif($1::bigint, 0), $2, $3, $4)
	on conflict on constraint request_answered_once do nothing`

const readAnswer = `-- once.readAnswer
	select digest, answer from answered_request
	where workspace_id is not distinct from nullif($1::bigint, 0) and service = $2 and request_id = $3`

const keepAnswer = `-- once.keepAnswer
	update answered_request set answer = $4
	where workspace_id is not distinct from nullif($1::bigint, 0) and service = $2 and request_id = $3`

// Do calls do within tx and returns its result, or returns the result of the
// first call if r repeats one. A repeated call waits for the transaction of the
// first one: if that is committed it gets the result, else it calls do itself.
// The workspace is 0 for a call that is about no workspace yet. Results are kept as JSON.
func Do[T any](ctx context.Context, tx pgx.Tx, workspaceID int64, r Request, do func() (T, error)) (T, error) {
	if r.ID == "" {
		return do()
	}
	var zero T
	tag, err := tx.Exec(ctx, claimRequest, workspaceID, r.Caller, r.ID, r.Digest)
	if err != nil {
		return zero, fmt.Errorf("claim request: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return answered[T](ctx, tx, workspaceID, r)
	}
	v, err := do()
	if err != nil {
		return zero, err
	}
	answer, err := json.Marshal(v)
	if err != nil {
		return zero, fmt.Errorf("keep answer: %w", err)
	}
	if _, err := tx.Exec(ctx, keepAnswer, workspaceID, r.Caller, r.ID, answer); err != nil {
		return zero, fmt.Errorf("keep answer: %w", err)
	}
	return v, nil
}

func answered[T any](ctx context.Context, tx pgx.Tx, workspaceID int64, r Request) (T, error) {
	var v T
	var digest, answer []byte
	err := tx.QueryRow(ctx, readAnswer, workspaceID, r.Caller, r.ID).Scan(&digest, &answer)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return v, errs.Aborted("REQUEST_IN_FLIGHT", "the same request is being worked on; repeat it")
	case err != nil:
		return v, fmt.Errorf("read answer: %w", err)
	}
	if reused := Check(digest, r.Digest); reused != nil {
		return v, reused
	}
	return v, json.Unmarshal(answer, &v)
}

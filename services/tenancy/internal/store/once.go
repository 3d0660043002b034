package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Once makes a call that is said twice happen once. The zero value remembers
// nothing.
type Once struct {
	Service   string // the caller; each has request ids of its own
	RequestID string
	Digest    []byte // of everything that makes the call what it is, but the request id
}

const claimRequest = `-- store.claimRequest
	insert into answered_request (workspace_id, service, request_id, digest)
	values (nullif($1::bigint, 0), $2, $3, $4)
	on conflict on constraint request_answered_once do nothing`

const readAnswer = `-- store.readAnswer
	select digest, answer from answered_request
	where workspace_id is not distinct from nullif($1::bigint, 0) and service = $2 and request_id = $3`

const keepAnswer = `-- store.keepAnswer
	update answered_request set answer = $4
	where workspace_id is not distinct from nullif($1::bigint, 0) and service = $2 and request_id = $3`

// once runs do, or answers what it answered the first time. A second caller
// waits for the first one's transaction: it finds the answer, or does it itself.
func once[T any](ctx context.Context, tx pgx.Tx, workspaceID int64, o Once, do func() (T, error)) (T, error) {
	if o.RequestID == "" {
		return do()
	}
	var zero T
	tag, err := tx.Exec(ctx, claimRequest, workspaceID, o.Service, o.RequestID, o.Digest)
	if err != nil {
		return zero, fmt.Errorf("claim request: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return answered[T](ctx, tx, workspaceID, o)
	}
	v, err := do()
	if err != nil {
		return zero, err
	}
	answer, err := json.Marshal(v)
	if err != nil {
		return zero, fmt.Errorf("keep answer: %w", err)
	}
	if _, err := tx.Exec(ctx, keepAnswer, workspaceID, o.Service, o.RequestID, answer); err != nil {
		return zero, fmt.Errorf("keep answer: %w", err)
	}
	return v, nil
}

func answered[T any](ctx context.Context, tx pgx.Tx, workspaceID int64, o Once) (T, error) {
	var v T
	was, err := one[struct{ Digest, Answer []byte }](ctx, tx, readAnswer, workspaceID, o.Service, o.RequestID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return v, errs.Aborted("REQUEST_IN_FLIGHT", "the same request is being worked on; say it again")
	case err != nil:
		return v, fmt.Errorf("read answer: %w", err)
	case !bytes.Equal(was.Digest, o.Digest):
		return v, errs.Invalid("request_id", "was used for another request").WithReason("REQUEST_ID_REUSED")
	}
	return v, json.Unmarshal(was.Answer, &v)
}

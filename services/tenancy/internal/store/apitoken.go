package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

const insertToken = `-- store.insertToken
	insert into api_token (workspace_id, user_id, display_name, key_id, secret_hash, max_role, expires_at)
	values ($1, $2, $3, $4, $5, $6, $7)
	returning id, workspace_id, user_id, display_name, key_id, max_role, expires_at, revoked_at, last_used_at, created_at`

// CreateToken stores a token by its hash. MaxRole is the role that was asked for, or
// empty for the role of its user.
func (s *Store) CreateToken(ctx context.Context, by workspace.By, t workspace.APIToken, hash []byte) (workspace.APIToken, error) {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := enter(ctx, tx, &by, t.WorkspaceID); err != nil {
			return err
		}
		user, err := one[workspace.Member](ctx, tx, readMember, t.WorkspaceID, t.UserID)
		if err != nil {
			return missing(err, "member")
		}
		if t.UserID != by.UserID {
			if err := by.Administer(); err != nil {
				return err
			}
		}
		if err := user.Acts(); err != nil {
			return err
		}
		if t.MaxRole, err = workspace.TokenRole(by, user, t.MaxRole); err != nil {
			return err
		}
		t, err = one[workspace.APIToken](ctx, tx, insertToken,
			t.WorkspaceID, t.UserID, t.DisplayName, t.KeyID, hash, t.MaxRole, t.ExpiresAt)
		if err != nil {
			return fmt.Errorf("insert token: %w", err)
		}
		return record(ctx, tx, by, change{
			workspaceID: t.WorkspaceID, action: "api_token.create", kind: "api_token", id: t.ID,
			detail: map[string]any{"user_id": t.UserID, "key_id": t.KeyID, "max_role": t.MaxRole, "expires_at": t.ExpiresAt},
		})
	})
	return t, err
}

const listTokens = `-- store.listTokens
	select id, workspace_id, user_id, display_name, key_id, max_role, expires_at, revoked_at, last_used_at, created_at
	from api_token where workspace_id = $1 and id > $2 order by id limit $3`

// Tokens lists the tokens of a workspace, by id.
func (s *Store) Tokens(ctx context.Context, workspaceID int64, p page.Page[int64]) ([]workspace.APIToken, error) {
	return many[workspace.APIToken](ctx, s.db, listTokens, workspaceID, p.After, p.Limit)
}

const listTokensOf = `-- store.listTokensOf
	select id, workspace_id, user_id, display_name, key_id, max_role, expires_at, revoked_at, last_used_at, created_at
	from api_token where workspace_id = $1 and user_id = $4 and id > $2 order by id limit $3`

// TokensOf lists the tokens of one user in a workspace, by id.
func (s *Store) TokensOf(ctx context.Context, workspaceID, userID int64, p page.Page[int64]) ([]workspace.APIToken, error) {
	return many[workspace.APIToken](ctx, s.db, listTokensOf, workspaceID, p.After, p.Limit, userID)
}

const lockToken = `-- store.lockToken
	select id, workspace_id, user_id, display_name, key_id, max_role, expires_at, revoked_at, last_used_at, created_at
	from api_token where workspace_id = $1 and id = $2 for update`

const revokeToken = `-- store.revokeToken
	update api_token set revoked_at = now() where workspace_id = $1 and id = $2
	returning id, workspace_id, user_id, display_name, key_id, max_role, expires_at, revoked_at, last_used_at, created_at`

// RevokeToken ends a token. A token that is revoked already stays as it is. For a user
// who is no owner, the tokens of others do not exist.
func (s *Store) RevokeToken(ctx context.Context, by workspace.By, workspaceID, id int64) (workspace.APIToken, error) {
	var t workspace.APIToken
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var err error
		if t, err = one[workspace.APIToken](ctx, tx, lockToken, workspaceID, id); err != nil {
			return missing(err, "API token")
		}
		if t.UserID != by.UserID && by.Administer() != nil {
			return errs.NotFound("API token")
		}
		if t.RevokedAt != nil {
			return nil
		}
		if t, err = one[workspace.APIToken](ctx, tx, revokeToken, workspaceID, id); err != nil {
			return fmt.Errorf("revoke token: %w", err)
		}
		return record(ctx, tx, by, change{
			workspaceID: workspaceID, action: "api_token.revoke", kind: "api_token", id: id,
			detail: map[string]any{"user_id": t.UserID, "key_id": t.KeyID},
		})
	})
	return t, err
}

// Held is what is stored of a token that works, to compare the token with.
type Held struct {
	TokenID int64
	Hash    []byte
	Stale   bool // not marked as used within the last minute
	workspace.Holder
}

// heldRow is Held without the nested struct, because rows are read by position.
type heldRow struct {
	TokenID       int64
	Hash          []byte
	Stale         bool
	User          int64
	Name, Email   string
	CreatedAt     time.Time
	WorkspaceID   int64
	Role, MaxRole workspace.Role
}

const resolveToken = `-- store.resolveToken
	select t.id, t.secret_hash, t.last_used_at is null or t.last_used_at < now() - interval '1 minute',
		u.id, u.display_name, u.email, u.created_at, t.workspace_id, m.role, t.max_role
	from api_token t
	join member m on m.workspace_id = t.workspace_id and m.user_id = t.user_id
	join app_user u on u.id = t.user_id
	where t.key_id = $1 and t.revoked_at is null and t.expires_at > now() and u.claimed_at is not null`

// Token reads the token with the key id. It returns nil if there is none that works,
// whatever the reason.
func (s *Store) Token(ctx context.Context, keyID string) (*Held, error) {
	r, err := one[heldRow](ctx, s.db, resolveToken, keyID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("resolve token: %w", err)
	}
	return &Held{TokenID: r.TokenID, Hash: r.Hash, Stale: r.Stale, Holder: workspace.Holder{
		User:        workspace.User{ID: r.User, DisplayName: r.Name, Email: r.Email, CreatedAt: r.CreatedAt},
		WorkspaceID: r.WorkspaceID, Role: workspace.Least(r.Role, r.MaxRole),
	}}, nil
}

const useToken = `-- store.useToken
	update api_token set last_used_at = now()
	where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')`

// UseToken remembers, to the minute, that a token was used.
func (s *Store) UseToken(ctx context.Context, id int64) error {
	if _, err := s.db.Exec(ctx, useToken, id); err != nil {
		return fmt.Errorf("use token: %w", err)
	}
	return nil
}

package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// This waits for a transaction that makes the user a member somewhere.
const lockUser = `-- store.lockUser
	select id from app_user where id = $1 for update`

const belongsElsewhere = `-- store.belongsElsewhere
	select exists (
		select from member m where m.user_id = $1 and not exists (
			select from member o where o.workspace_id = m.workspace_id and o.user_id = $2 and o.role = 'owner'))`

const claimUser = `-- store.claimUser
	update app_user set claimed_at = now(), identity_issuer = $3, identity_subject = $4,
		home_workspace_id = coalesce(home_workspace_id, $2)
	where id = $1`

// ClaimUser sets the identity of an imported member.
func (s *Store) ClaimUser(ctx context.Context, by workspace.By, r once.Request, workspaceID, userID int64, id workspace.Identity) (workspace.Member, error) {
	var m workspace.Member
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := enter(ctx, tx, &by, workspaceID); err != nil {
			return err
		}
		var err error
		m, err = once.Do(ctx, tx, workspaceID, r, func() (workspace.Member, error) { return claim(ctx, tx, by, workspaceID, userID, id) })
		return err
	})
	return m, named(err, "user_identity_once", "IDENTITY_TAKEN", "another user was claimed for that identity")
}

func claim(ctx context.Context, tx pgx.Tx, by workspace.By, workspaceID, userID int64, id workspace.Identity) (m workspace.Member, err error) {
	if err := by.Administer(); err != nil {
		return m, err
	}
	if _, err := tx.Exec(ctx, lockUser, userID); err != nil {
		return m, fmt.Errorf("lock user: %w", err)
	}
	if m, err = one[workspace.Member](ctx, tx, readMember, workspaceID, userID); err != nil {
		return m, missing(err, "member")
	}
	var elsewhere bool
	if err := tx.QueryRow(ctx, belongsElsewhere, userID, by.UserID).Scan(&elsewhere); err != nil {
		return m, fmt.Errorf("belongs elsewhere: %w", err)
	}
	moved, err := m.Claim(by, id, elsewhere)
	if err != nil || !moved {
		return m, err
	}
	if _, err := tx.Exec(ctx, claimUser, userID, workspaceID, id.Issuer, id.Subject); err != nil {
		return m, fmt.Errorf("claim user: %w", err)
	}
	if err := record(ctx, tx, by, change{
		workspaceID: workspaceID, action: "user.claim", kind: "user", id: userID,
		detail: map[string]any{"issuer": id.Issuer, "subject": id.Subject},
	}); err != nil {
		return m, err
	}
	return one[workspace.Member](ctx, tx, readMember, workspaceID, userID)
}

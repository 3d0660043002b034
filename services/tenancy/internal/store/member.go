package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

const insertAppUser = `-- store.insertUser
	insert into app_user (home_workspace_id, display_name, email) values ($1, $2, $3)
	returning id, display_name, email, created_at`

func insertUser(ctx context.Context, tx pgx.Tx, workspaceID int64, u workspace.User) (workspace.User, error) {
	made, err := one[workspace.User](ctx, tx, insertAppUser, workspaceID, u.DisplayName, u.Email)
	if err != nil {
		return made, fmt.Errorf("insert user: %w", err)
	}
	return made, nil
}

const insertMembership = `-- store.insertMember
	with m as (insert into member (workspace_id, user_id, role) values ($1, $2, $3) returning *)
	select m.workspace_id, m.user_id, u.display_name, u.email, m.role, m.created_at,
		u.claimed_at, coalesce(u.identity_issuer, ''), coalesce(u.identity_subject, ''), u.legacy_id
	from m join app_user u on u.id = m.user_id`

func insertMember(ctx context.Context, tx pgx.Tx, workspaceID, userID int64, role workspace.Role) (workspace.Member, error) {
	m, err := one[workspace.Member](ctx, tx, insertMembership, workspaceID, userID, role)
	if err != nil {
		return m, fmt.Errorf("insert member: %w", err)
	}
	return m, nil
}

// Changes of the members of a workspace wait for each other here. So the number of
// owners, and the role of whoever makes the change, stay true until the commit.
const lockWorkspace = `-- store.lockWorkspace
	select id from workspace where id = $1 for no key update`

const readRole = `-- store.readRole
	select m.role, u.claimed_at from member m join app_user u on u.id = m.user_id
	where m.workspace_id = $1 and m.user_id = $2`

// enter locks a workspace for a change that by makes, and lowers the role in by to
// the one that the user has now.
func enter(ctx context.Context, tx pgx.Tx, by *workspace.By, workspaceID int64) error {
	var locked int64
	if err := tx.QueryRow(ctx, lockWorkspace, workspaceID).Scan(&locked); err != nil {
		return missing(err, "workspace")
	}
	if by.UserID == 0 {
		return nil
	}
	var now workspace.Member
	if err := tx.QueryRow(ctx, readRole, workspaceID, by.UserID).Scan(&now.Role, &now.ClaimedAt); err != nil {
		return missing(err, "workspace")
	}
	by.Role = workspace.Least(by.Role, now.Role)
	return now.Acts()
}

// NewMember is a user who is to get a role: an existing user, or one to be made.
type NewMember struct {
	WorkspaceID int64
	UserID      int64 // 0 makes User
	User        workspace.User
	Role        workspace.Role
	// Among are the workspaces that the caller may see. For the caller, only users of
	// these, or made in WorkspaceID, exist. Nil means all workspaces.
	Among []int64
}

// AddMember gives a user a role in a workspace.
func (s *Store) AddMember(ctx context.Context, by workspace.By, r once.Request, n NewMember) (workspace.Member, error) {
	var m workspace.Member
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := enter(ctx, tx, &by, n.WorkspaceID); err != nil {
			return err
		}
		var err error
		m, err = once.Do(ctx, tx, n.WorkspaceID, r, func() (workspace.Member, error) { return join(ctx, tx, by, n) })
		return err
	})
	return m, named(err, "member_once_per_workspace", "MEMBER_EXISTS", "the user is a member already")
}

func join(ctx context.Context, tx pgx.Tx, by workspace.By, n NewMember) (m workspace.Member, err error) {
	if err := by.Administer(); err != nil {
		return m, err
	}
	if err := by.Grant(n.Role); err != nil {
		return m, err
	}
	if n.UserID == 0 {
		made, err := insertUser(ctx, tx, n.WorkspaceID, n.User)
		if err != nil {
			return m, err
		}
		n.UserID = made.ID
	} else if err := sees(ctx, tx, n); err != nil {
		return m, err
	}
	if m, err = insertMember(ctx, tx, n.WorkspaceID, n.UserID, n.Role); err != nil {
		return m, err
	}
	return m, record(ctx, tx, by, change{
		workspaceID: n.WorkspaceID, action: "member.add", kind: "user", id: n.UserID,
		detail: map[string]any{"role": n.Role},
	})
}

const seeUser = `-- store.seeUser
	select exists (
		select from app_user u where u.id = $1 and (
			$3::bigint[] is null or u.home_workspace_id = $2
			or exists (select from member m where m.user_id = u.id and m.workspace_id = any($3))))`

func sees(ctx context.Context, tx pgx.Tx, n NewMember) error {
	var seen bool
	if err := tx.QueryRow(ctx, seeUser, n.UserID, n.WorkspaceID, n.Among).Scan(&seen); err != nil {
		return fmt.Errorf("see user: %w", err)
	}
	if !seen {
		return errs.NotFound("user")
	}
	return nil
}

const readMember = `-- store.readMember
	select m.workspace_id, m.user_id, u.display_name, u.email, m.role, m.created_at,
		u.claimed_at, coalesce(u.identity_issuer, ''), coalesce(u.identity_subject, ''), u.legacy_id
	from member m join app_user u on u.id = m.user_id
	where m.workspace_id = $1 and m.user_id = $2`

// An owner whom nobody has claimed cannot act. So the last claimed owner must stay,
// even if there are others who are not claimed.
const countOwners = `-- store.countOwners
	select count(*) from member m join app_user u on u.id = m.user_id
	where m.workspace_id = $1 and m.role = 'owner' and (u.claimed_at is not null or not $2)`

const setRole = `-- store.setRole
	update member set role = $3, updated_at = now() where workspace_id = $1 and user_id = $2`

// SetRole gives a member another role.
func (s *Store) SetRole(ctx context.Context, by workspace.By, workspaceID, userID int64, role workspace.Role) (workspace.Member, error) {
	var m workspace.Member
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var owners int
		var err error
		if m, owners, err = s.lockMember(ctx, tx, &by, workspaceID, userID); err != nil {
			return err
		}
		was := m.Role
		moved, err := m.SetRole(by, role, owners)
		if err != nil || !moved {
			return err
		}
		if _, err := tx.Exec(ctx, setRole, workspaceID, userID, role); err != nil {
			return fmt.Errorf("set role: %w", err)
		}
		return record(ctx, tx, by, change{
			workspaceID: workspaceID, action: "member.update", kind: "user", id: userID,
			detail: map[string]any{"from": was, "role": role},
		})
	})
	return m, err
}

const deleteMember = `-- store.deleteMember
	delete from member where workspace_id = $1 and user_id = $2`

const revokeTokensOf = `-- store.revokeTokensOf
	update api_token set revoked_at = now() where workspace_id = $1 and user_id = $2 and revoked_at is null`

// RemoveMember ends a membership and revokes the user's API tokens in the workspace.
func (s *Store) RemoveMember(ctx context.Context, by workspace.By, workspaceID, userID int64) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		m, owners, err := s.lockMember(ctx, tx, &by, workspaceID, userID)
		if err != nil {
			return err
		}
		if err := m.Leave(owners); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteMember, workspaceID, userID); err != nil {
			return fmt.Errorf("delete member: %w", err)
		}
		tokens, err := tx.Exec(ctx, revokeTokensOf, workspaceID, userID)
		if err != nil {
			return fmt.Errorf("revoke tokens: %w", err)
		}
		return record(ctx, tx, by, change{
			workspaceID: workspaceID, action: "member.remove", kind: "user", id: userID,
			detail: map[string]any{"role": m.Role, "tokens_revoked": tokens.RowsAffected()},
		})
	})
}

// lockMember locks the workspace, and reads the member whom by wants to change and
// the number of owners.
func (s *Store) lockMember(ctx context.Context, tx pgx.Tx, by *workspace.By, workspaceID, userID int64) (m workspace.Member, owners int, err error) {
	if err := enter(ctx, tx, by, workspaceID); err != nil {
		return m, 0, err
	}
	if err := by.Administer(); err != nil {
		return m, 0, err
	}
	if m, err = one[workspace.Member](ctx, tx, readMember, workspaceID, userID); err != nil {
		return m, 0, missing(err, "member")
	}
	if err := tx.QueryRow(ctx, countOwners, workspaceID, m.Claimed()).Scan(&owners); err != nil {
		return m, 0, fmt.Errorf("count owners: %w", err)
	}
	return m, owners, nil
}

const listMembers = `-- store.listMembers
	select m.workspace_id, m.user_id, u.display_name, u.email, m.role, m.created_at,
		u.claimed_at, coalesce(u.identity_issuer, ''), coalesce(u.identity_subject, ''), u.legacy_id
	from member m join app_user u on u.id = m.user_id
	where m.workspace_id = $1 and m.user_id > $2 order by m.user_id limit $3`

// Members lists a workspace's members, by user id.
func (s *Store) Members(ctx context.Context, workspaceID int64, p page.Page[int64]) ([]workspace.Member, error) {
	return many[workspace.Member](ctx, s.db, listMembers, workspaceID, p.After, p.Limit)
}

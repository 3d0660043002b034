package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// LegacyMember is a membership to be imported.
type LegacyMember struct {
	LegacyWorkspaceID, LegacyUserID int64
	Role                            workspace.Role
}

// ImportedMember is the result of importing a membership. In a rehearsal, a workspace
// or user that is not imported yet has a negative id.
type ImportedMember struct {
	WorkspaceID, UserID int64
	Role                workspace.Role // as it is now; empty if the member was removed here
	Outcome             workspace.Outcome
}

// ImportMembers makes the memberships of a batch that were never here. A rehearsal
// acts as if the workspaces and users that are not imported yet were.
func (s *Store) ImportMembers(ctx context.Context, by workspace.By, rehearse bool, batch []LegacyMember) (done []ImportedMember, refused []error, err error) {
	err = s.importing(ctx, rehearse, func(tx pgx.Tx) error {
		p, err := partiesOf(ctx, tx, rehearse, batch)
		if err != nil {
			return err
		}
		done, refused, err = each(batch, func(m LegacyMember) (ImportedMember, error) { return p.importMember(ctx, tx, by, m) })
		return err
	})
	return done, refused, err
}

// parties are the workspaces and users of a batch of memberships, by legacy id.
type parties struct {
	workspaces map[int64]int64
	users      map[int64]party
}

type party struct {
	LegacyID, ID int64
	Claimed      bool
}

// Workspaces are locked before users, each in the order of ids. Every change of
// members locks in that order, so that there is no deadlock. A claim of one of these
// users either waits for this transaction or is seen by it.
const lockImportedWorkspaces = `-- store.lockImportedWorkspaces
	select legacy_id, id, true from workspace where legacy_id = any($1) order by id for no key update`

const lockImportedUsers = `-- store.lockImportedUsers
	select legacy_id, id, claimed_at is not null from app_user where legacy_id = any($1) order by id for key share`

func partiesOf(ctx context.Context, tx pgx.Tx, rehearse bool, batch []LegacyMember) (parties, error) {
	p := parties{workspaces: map[int64]int64{}, users: map[int64]party{}}
	var workspaceIDs, userIDs []int64
	for _, m := range batch {
		workspaceIDs, userIDs = append(workspaceIDs, m.LegacyWorkspaceID), append(userIDs, m.LegacyUserID)
	}
	if rehearse {
		if err := standIn(ctx, tx, workspaceIDs, userIDs); err != nil {
			return p, err
		}
	}
	workspaces, err := many[party](ctx, tx, lockImportedWorkspaces, workspaceIDs)
	if err != nil {
		return p, fmt.Errorf("lock imported workspaces: %w", err)
	}
	users, err := many[party](ctx, tx, lockImportedUsers, userIDs)
	if err != nil {
		return p, fmt.Errorf("lock imported users: %w", err)
	}
	for _, w := range workspaces {
		p.workspaces[w.LegacyID] = w.ID
	}
	for _, u := range users {
		p.users[u.LegacyID] = u
	}
	return p, nil
}

const readImportedMember = `-- store.readImportedMember
	select exists (select from imported_member where workspace_id = $1 and user_id = $2),
		coalesce((select role from member where workspace_id = $1 and user_id = $2), '')`

const keepImportedMember = `-- store.keepImportedMember
	with remembered as (
		insert into imported_member (workspace_id, user_id) values ($1, $2) on conflict do nothing)
	insert into member (workspace_id, user_id, role) values ($1, $2, $3) on conflict do nothing`

func (p parties) importMember(ctx context.Context, tx pgx.Tx, by workspace.By, m LegacyMember) (ImportedMember, error) {
	workspaceID, ok := p.workspaces[m.LegacyWorkspaceID]
	if !ok {
		return ImportedMember{}, errs.Invalid("legacy_workspace_id", "is not imported: import the workspace first")
	}
	user, ok := p.users[m.LegacyUserID]
	if !ok {
		return ImportedMember{}, errs.Invalid("legacy_user_id", "is not imported: import the user first")
	}
	is := ImportedMember{WorkspaceID: workspaceID, UserID: user.ID, Outcome: workspace.Found}
	var before bool
	if err := tx.QueryRow(ctx, readImportedMember, workspaceID, user.ID).Scan(&before, &is.Role); err != nil {
		return is, fmt.Errorf("read imported member: %w", err)
	}
	if before {
		return is, nil
	}
	if is.Role == "" && user.Claimed {
		return is, errs.Conflict("USER_CLAIMED", "the user has an identity already, and it is for an owner of this workspace to say that they belong here: add them by AddMember")
	}
	if _, err := tx.Exec(ctx, keepImportedMember, workspaceID, user.ID, m.Role); err != nil {
		return is, fmt.Errorf("import member: %w", err)
	}
	if is.Role != "" {
		return is, nil
	}
	is.Role, is.Outcome = m.Role, workspace.Created
	return is, record(ctx, tx, by, change{
		workspaceID: workspaceID, action: "member.import", kind: "user", id: user.ID,
		detail: map[string]any{"role": m.Role, "legacy_id": m.LegacyUserID},
	})
}

const standInUserFor = `-- store.standInUsers
	insert into app_user (id, display_name, legacy_id, claimed_at) overriding system value
	select -l, 'not imported yet', l, null from unnest($1::bigint[]) l
	on conflict do nothing`

// standIn makes the workspaces and users that are not here, for a rehearsal.
func standIn(ctx context.Context, tx pgx.Tx, workspaces, users []int64) error {
	if err := standInWorkspaces(ctx, tx, workspaces); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, standInUserFor, users); err != nil {
		return fmt.Errorf("stand-in users: %w", err)
	}
	return nil
}

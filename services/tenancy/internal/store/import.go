package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// Imported is the result of importing an object of an older installation.
type Imported struct {
	ID      int64
	Name    string // what it is called here
	Outcome workspace.Outcome
}

// Only one batch is imported at a time, so that which of two objects with equal names
// comes first depends on the batches alone. A batch waits for the one before it as
// long as its call may take.
const lockImport = `-- store.lockImport
	select set_config('lock_timeout', '0', true)`

const awaitImport = `-- store.awaitImport
	select pg_advisory_xact_lock(hashtext('tenantpilot tenancy import'))`

var errRehearsed = errors.New("rehearsed")

// importing calls f in a transaction, while no other import runs. The transaction of
// a rehearsal is rolled back in the end.
func (s *Store) importing(ctx context.Context, rehearse bool, f func(pgx.Tx) error) error {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockImport); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, awaitImport); err != nil {
			return fmt.Errorf("wait for the other import: %w", err)
		}
		if err := f(tx); err != nil {
			return err
		}
		if rehearse {
			return errRehearsed
		}
		return nil
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// each imports items one by one. An item that is refused, before anything of it is
// written, does not stop the others; any other error ends the whole batch.
func each[T, R any](items []T, one func(T) (R, error)) (done []R, refused []error, err error) {
	done, refused = make([]R, len(items)), make([]error, len(items))
	for i, item := range items {
		done[i], err = one(item)
		if _, ok := errs.As(err); ok {
			refused[i] = err
		} else if err != nil {
			return nil, nil, err
		}
	}
	return done, refused, nil
}

// maybe reads the single row of a query. It returns nil if there is none.
func maybe[T any](ctx context.Context, tx pgx.Tx, sql string, args ...any) (*T, error) {
	v, err := one[T](ctx, tx, sql, args...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &v, err
}

// kept is a row that an import has made or found.
type kept struct {
	ID   int64
	Name string
}

// LegacyWorkspace is a workspace to be imported.
type LegacyWorkspace struct {
	LegacyID    int64
	DisplayName string
}

// ImportWorkspaces makes the workspaces of a batch that are not here yet. It returns a
// result or an error for each, in the order of the batch.
func (s *Store) ImportWorkspaces(ctx context.Context, by workspace.By, rehearse bool, batch []LegacyWorkspace) (done []Imported, refused []error, err error) {
	err = s.importing(ctx, rehearse, func(tx pgx.Tx) error {
		done, refused, err = each(batch, func(w LegacyWorkspace) (Imported, error) { return importWorkspace(ctx, tx, by, w) })
		return err
	})
	return done, refused, err
}

const readImportedWorkspace = `-- store.readImportedWorkspace
	select id, display_name from workspace where legacy_id = $1`

const importWorkspaceAs = `-- store.importWorkspaceAs
	insert into workspace (legacy_id, display_name) values ($1, $2)
	on conflict on constraint workspace_named_once do nothing
	returning id, display_name`

func importWorkspace(ctx context.Context, tx pgx.Tx, by workspace.By, w LegacyWorkspace) (Imported, error) {
	before, err := maybe[kept](ctx, tx, readImportedWorkspace, w.LegacyID)
	if err != nil {
		return Imported{}, fmt.Errorf("read imported workspace: %w", err)
	}
	if before != nil {
		return Imported{before.ID, before.Name, workspace.Found}, nil
	}
	name := workspace.LegacyName("Workspace", w.DisplayName, w.LegacyID)
	for _, name := range []string{name, workspace.Apart(name, w.LegacyID)} {
		made, err := maybe[kept](ctx, tx, importWorkspaceAs, w.LegacyID, name)
		if err != nil {
			return Imported{}, fmt.Errorf("import workspace: %w", err)
		}
		if made != nil {
			return Imported{made.ID, made.Name, workspace.Created}, record(ctx, tx, by, change{
				workspaceID: made.ID, action: "workspace.import", kind: "workspace", id: made.ID,
				detail: map[string]any{"display_name": made.Name, "legacy_id": w.LegacyID},
			})
		}
	}
	return Imported{}, nameTaken("WORKSPACE_EXISTS")
}

// nameTaken is the error for an object whose name is taken, with and without the
// suffix that [workspace.Apart] adds.
func nameTaken(reason string) error {
	return errs.Exists(reason, "the name is taken, and so is the same with its legacy id: rename one that is here").With("field", "display_name")
}

// LegacyUser is a user to be imported.
type LegacyUser struct {
	LegacyID    int64
	DisplayName string
	Email       string
}

// ImportUsers makes the users of a batch that are not here yet. Nobody can act as one
// of them until the user is claimed.
func (s *Store) ImportUsers(ctx context.Context, by workspace.By, rehearse bool, batch []LegacyUser) (done []Imported, refused []error, err error) {
	err = s.importing(ctx, rehearse, func(tx pgx.Tx) error {
		done, refused, err = each(batch, func(u LegacyUser) (Imported, error) { return importUser(ctx, tx, by, u) })
		return err
	})
	return done, refused, err
}

const readImportedUser = `-- store.readImportedUser
	select id, display_name from app_user where legacy_id = $1`

const importUserAs = `-- store.importUserAs
	insert into app_user (legacy_id, display_name, email, claimed_at) values ($1, $2, $3, null)
	returning id, display_name`

func importUser(ctx context.Context, tx pgx.Tx, by workspace.By, u LegacyUser) (Imported, error) {
	before, err := maybe[kept](ctx, tx, readImportedUser, u.LegacyID)
	if err != nil {
		return Imported{}, fmt.Errorf("read imported user: %w", err)
	}
	if before != nil {
		return Imported{before.ID, before.Name, workspace.Found}, nil
	}
	made, err := one[kept](ctx, tx, importUserAs, u.LegacyID, workspace.LegacyName("User", u.DisplayName, u.LegacyID), u.Email)
	if err != nil {
		return Imported{}, fmt.Errorf("import user: %w", err)
	}
	return Imported{made.ID, made.Name, workspace.Created}, record(ctx, tx, by, change{
		action: "user.import", kind: "user", id: made.ID, detail: map[string]any{"legacy_id": u.LegacyID},
	})
}

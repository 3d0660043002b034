package takeover

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

var errArchived = errors.New("tables are archived already: rollback --to drop brings them back")

// Repoint lets findings and inventory items refer to runs where they referred to
// rows of inventory_sync_runs: null where such a row has no run, or a run that does
// not exist. Then it drops the old columns, which rollback brings back.
func (t *Tool) Repoint(ctx context.Context, o RepointOptions) (*Report, error) {
	if gone, err := t.isArchived(ctx, t.legacy, syncRuns); err != nil || gone {
		return nil, errors.Join(err, whenTrue(gone, errArchived))
	}
	if err := t.requires(ctx, "verify"); err != nil {
		return nil, err
	}
	return t.run(ctx, "repoint", o.Plan, nil, func(ctx context.Context, r *Report) error {
		if _, err := t.noteMissing(ctx); err != nil {
			return err
		}
		if err := t.countReferences(ctx, r, "References before"); err != nil {
			return err
		}
		if o.Plan {
			return t.sampleReferences(ctx, r)
		}
		for _, ref := range references {
			if err := t.moveReference(ctx, r, ref); err != nil {
				return fmt.Errorf("%s: %w", ref, err)
			}
		}
		for _, table := range referringTables {
			if err := t.dropOldColumns(ctx, table); err != nil {
				return fmt.Errorf("drop the old columns of %s: %w", table, err)
			}
		}
		return t.countReferences(ctx, r, "References after")
	})
}

func whenTrue(b bool, err error) error {
	if b {
		return err
	}
	return nil
}

// moveReference fills a new column, and says whether every row of it is right.
func (t *Tool) moveReference(ctx context.Context, r *Report, ref reference) error {
	there, err := t.columnsOf(ctx, t.legacy, ref)
	if err != nil || !there.old {
		return err
	}
	if err := t.follow(ctx, ref); err != nil {
		return err
	}
	if err := t.fill(ctx, ref); err != nil {
		return err
	}
	var total, expected, filled int64
	if err := t.legacy.QueryRow(ctx, ref.in(countFilled)).Scan(&total, &expected, &filled); err != nil {
		return err
	}
	r.check(ref.table+"."+ref.new+" is filled", expected == filled, "%d of %d rows have a run, %d should", filled, total, expected)
	return nil
}

const countFilled = `-- takeover.countFilled
	select count(*), count(coalesce(tenantpilot_takeover.run_of_sync(t.{old}), tenantpilot_takeover.existing_run(t.{new}))), count(t.{new}) from {table} t`

// A reference of which a column is missing counts as if it were null everywhere.
const countReferences = `-- takeover.countReferences
	select count(*), count({old}), count({new}), count(s.operation_run_id), count(m.run_id), count({old}) - count(s.operation_run_id)
	from {table} t
	left join inventory_sync_runs s on s.id = {old}
	left join tenantpilot_takeover.run_block b on b.source = 'operation_runs'
	left join tenantpilot_takeover.missing_run m
		on m.run_id = case when s.operation_run_id between 1 and b.last_legacy_id then b.base + s.operation_run_id else s.operation_run_id end`

func (t *Tool) countReferences(ctx context.Context, r *Report, title string) error {
	counts := r.table(title, "reference", "rows", "refer to a row", "refer to a run", "row has a run", "which is missing", "row has none")
	for _, ref := range references {
		there, err := t.columnsOf(ctx, t.legacy, ref)
		if err != nil {
			return err
		}
		name := strings.NewReplacer("{table}", ref.table, "{old}", columnOrNull(there.old, ref.old), "{new}", columnOrNull(there.new, ref.new))
		var n [6]int64
		if err := t.legacy.QueryRow(ctx, name.Replace(countReferences)).Scan(&n[0], &n[1], &n[2], &n[3], &n[4], &n[5]); err != nil {
			return fmt.Errorf("count %s: %w", ref, err)
		}
		counts.row(ref.String(), n[0], n[1], n[2], n[3], n[4], n[5])
	}
	return nil
}

// Some that become a run, and some that become null.
const sampleReferences = `-- takeover.sampleReferences
	with r as (
		select t.id, t.{old} as was, coalesce(tenantpilot_takeover.run_of_sync(t.{old}), tenantpilot_takeover.existing_run({own})) as becomes
		from {table} t where t.{old} is not null
	)
	(select id, was, becomes from r where becomes is not null order by id limit $1)
	union all
	(select id, was, becomes from r where becomes is null order by id limit $1)`

type referenceSample struct {
	ID, Was int64
	Becomes *int64
}

// sampleReferences shows what some references would become. The functions that say it
// are made for that, and undone.
func (t *Tool) sampleReferences(ctx context.Context, r *Report) error {
	shown := r.table("Samples", "reference", "row", "refers to row", "becomes run")
	return rolledBack(ctx, t.legacy, func(tx pgx.Tx) error {
		for _, ref := range references {
			found, err := t.sampleReference(ctx, tx, ref)
			if err != nil {
				return fmt.Errorf("samples of %s: %w", ref, err)
			}
			for _, s := range found {
				becomes := "none"
				if s.Becomes != nil {
					becomes = fmt.Sprint(*s.Becomes)
				}
				shown.row(ref.String(), s.ID, s.Was, becomes)
			}
		}
		return nil
	})
}

func (t *Tool) sampleReference(ctx context.Context, tx pgx.Tx, ref reference) ([]referenceSample, error) {
	there, err := t.columnsOf(ctx, tx, ref)
	if err != nil || !there.old {
		return nil, err
	}
	if _, err := tx.Exec(ctx, strings.ReplaceAll(ref.in(referenceFunctions), "{added}", "true")); err != nil {
		return nil, err
	}
	own := columnOrNull(there.new, ref.new)
	return collect[referenceSample](ctx, tx, strings.ReplaceAll(ref.in(sampleReferences), "{own}", own), samples)
}

func columnOrNull(there bool, column string) string {
	if there {
		return "t." + column
	}
	return "null::bigint"
}

const lockForChange = `-- takeover.lockForChange
	lock table {table} in access exclusive mode`

// With one lock held, no wait for the next: a writer that has it may wait for ours.
const lockAtOnce = `-- takeover.lockAtOnce
	lock table {table} in access exclusive mode nowait`

const dropOldColumn = `-- takeover.dropOldColumn
	drop trigger if exists tenantpilot_repoint_{old} on {table};
	alter table {table} drop column {old}`

// dropOldColumns drops the old columns of a table, and notes how they were. Their
// values are saved already: the triggers see to it.
func (t *Tool) dropOldColumns(ctx context.Context, table string) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		for _, sql := range []string{
			strings.ReplaceAll(lockForChange, "{table}", table),
			strings.ReplaceAll(lockAtOnce, "{table}", syncRuns), // a foreign key's end is dropped there
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		for _, ref := range references {
			if ref.table != table {
				continue
			}
			if err := t.dropReference(ctx, tx, ref); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Tool) dropReference(ctx context.Context, tx pgx.Tx, ref reference) error {
	there, err := t.columnsOf(ctx, tx, ref)
	if err != nil || !there.old {
		return err
	}
	if _, err := tx.Exec(ctx, recordColumn, "repoint", ref.table, ref.old); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, ref.in(dropOldColumn))
	return err
}

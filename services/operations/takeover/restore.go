package takeover

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/schollz/progressbar/v3"
)

// recordComment notes the comment of a column before another takes its place.
const recordComment = `-- takeover.recordComment
	insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
	select 'drop', 'restore_runs', 'comment on ' || attname,
		format('comment on column restore_runs.%I is %s', attname, coalesce(quote_literal(col_description(attrelid, attnum)), 'null'))
	from pg_attribute where attrelid = to_regclass('restore_runs') and attname = $1 and not attisdropped
	on conflict (stage, table_name, name) do nothing`

var deprecations = []struct{ column, sql string }{
	{"status", `-- takeover.deprecateStatus
	comment on column restore_runs.status is 'Deprecated while the restore executes and after: status and outcome of the run operation_run_id say it.'`},
	{"started_at", `-- takeover.deprecateStartedAt
	comment on column restore_runs.started_at is 'Deprecated: started_at of the run operation_run_id says it.'`},
	{"completed_at", `-- takeover.deprecateCompletedAt
	comment on column restore_runs.completed_at is 'Deprecated: completed_at of the run operation_run_id says it.'`},
	{"failure_reason", `-- takeover.deprecateFailureReason
	comment on column restore_runs.failure_reason is 'Deprecated: failure_summary of the run operation_run_id says it.'`},
}

// deprecate says at the columns of restore_runs that their runs know better. One that
// came late may be missing.
func (t *Tool) deprecate(ctx context.Context) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		for _, d := range deprecations {
			there, err := exists(ctx, tx, hasColumn, "restore_runs", d.column)
			if err != nil {
				return err
			}
			if !there {
				continue
			}
			if _, err := tx.Exec(ctx, recordComment, d.column); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, d.sql); err != nil {
				return err
			}
		}
		return nil
	})
}

const restoresWithRuns = `-- takeover.restoresWithRuns
	select operation_run_id, id, coalesce(status, '') from restore_runs where operation_run_id is not null order by 1, 2`

// restore is a restore that has a run.
type restore struct {
	RunID, ID int64
	Status    string
}

func (r restore) run() int64 { return r.RunID }

const runsOfRestores = `-- takeover.runsOfRestores
	select id, status, outcome, started_at, completed_at, failure_summary -> 0 ->> 'message'
	from operation_runs where origin = 'legacy' and type = 'restore_execute' order by id`

// execution is what a run says of its restore.
type execution struct {
	RunID              int64
	Status, Outcome    string
	Started, Completed *time.Time
	Failure            *string
}

func (e execution) run() int64 { return e.RunID }

// reportRestores writes what each restore's run says into a file of its own, since
// they may be many, and the first into r.
func (t *Tool) reportRestores(ctx context.Context, r *Report) (err error) {
	if err := os.MkdirAll(t.cfg.Reports, 0o700); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	path := filepath.Join(t.cfg.Reports, r.Began.Format("20060102T150405Z")+"-restores.csv")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	list := &restoreList{bar: t.bar("report of restores", -1), all: csv.NewWriter(file), first: r.table("Restores, as their runs know them; all are in "+path, restoreColumns...)}
	defer list.bar.Finish() //nolint:errcheck // it is only shown
	if err := list.all.Write(restoreColumns); err != nil {
		return err
	}
	if err := t.readRestores(ctx, list.add); err != nil {
		return fmt.Errorf("report of restores: %w", err)
	}
	list.all.Flush()
	return list.all.Error()
}

func (t *Tool) readRestores(ctx context.Context, add func(*restore, *execution) error) error {
	restores, err := streamed[restore](ctx, t.legacy, restoresWithRuns)
	if err != nil {
		return err
	}
	defer restores.rows.Close()
	runs, err := streamed[execution](ctx, t.target, runsOfRestores)
	if err != nil {
		return err
	}
	defer runs.rows.Close()
	return merge(restores, runs, add)
}

var restoreColumns = []string{"restore", "legacy status", "run", "status", "outcome", "started", "completed", "failure"}

// restoreList is the report of restores.
type restoreList struct {
	bar   *progressbar.ProgressBar
	all   *csv.Writer
	first *Table
}

func (l *restoreList) add(r *restore, e *execution) error {
	_ = l.bar.Add(1)
	if r == nil || e == nil {
		return nil // a run of no restore, or of one that is in another table; verify says so
	}
	failure := ""
	if e.Failure != nil {
		failure = *e.Failure
	}
	cells := []string{
		strconv.FormatInt(r.ID, 10), r.Status, strconv.FormatInt(e.RunID, 10), e.Status, e.Outcome,
		moment(e.Started), moment(e.Completed), failure,
	}
	if len(l.first.Rows) < listed {
		row := make([]any, len(cells))
		for i, cell := range cells {
			row[i] = cell
		}
		l.first.row(row...)
	}
	return l.all.Write(cells)
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

package drop

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/schollz/progressbar/v3"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// recordComment notes the comment of a column before drop replaces it.
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

// deprecate comments the columns of restore_runs whose values the runs have now. A column
// that came late may be missing.
func (a *archiving) deprecate(ctx context.Context) error {
	return a.Alter(ctx, a.Legacy, func(tx pgx.Tx) error {
		for _, d := range deprecations {
			there, err := query.HasColumn(ctx, tx, "restore_runs", d.column)
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

func (r restore) Key() int64 { return r.RunID }

const runsOfRestores = `-- takeover.runsOfRestores
	select id, status, outcome, started_at, completed_at, failure_summary -> 0 ->> 'message'
	from operation_runs where origin = 'legacy' and type = 'restore_execute' order by id`

// execution is the run of a restore.
type execution struct {
	RunID              int64
	Status, Outcome    string
	Started, Completed *time.Time
	Failure            *string
}

func (e execution) Key() int64 { return e.RunID }

// reportRestores writes the runs of all restores into a file, since they may be many, and
// the first of them into r.
func (a *archiving) reportRestores(ctx context.Context, r *report.Report) (err error) {
	file, err := r.Create(a.Reports(), "restores.csv")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	list := &restoreList{bar: a.Bar("report of restores", -1), all: csv.NewWriter(file), first: r.Table("Restores and their runs; all of them are in "+file.Name(), restoreColumns...)}
	defer list.bar.Finish() //nolint:errcheck // it only shows progress
	if err := list.all.Write(restoreColumns); err != nil {
		return err
	}
	if err := a.readRestores(ctx, list.add); err != nil {
		return fmt.Errorf("report of restores: %w", err)
	}
	list.all.Flush()
	return list.all.Error()
}

func (a *archiving) readRestores(ctx context.Context, add func(*restore, *execution) error) error {
	restores, err := query.Read[restore](ctx, a.Legacy, restoresWithRuns)
	if err != nil {
		return err
	}
	defer restores.Close()
	runs, err := query.Read[execution](ctx, a.Operations, runsOfRestores)
	if err != nil {
		return err
	}
	defer runs.Close()
	return query.Merge(restores, runs, add)
}

var restoreColumns = []string{"restore", "legacy status", "run", "status", "outcome", "started", "completed", "failure"}

// restoreList is the report of restores.
type restoreList struct {
	bar   *progressbar.ProgressBar
	all   *csv.Writer
	first *report.Table
}

func (l *restoreList) add(r *restore, e *execution) error {
	_ = l.bar.Add(1)
	if r == nil || e == nil {
		return nil // verify reports these
	}
	failure := ""
	if e.Failure != nil {
		failure = *e.Failure
	}
	cells := []string{
		strconv.FormatInt(r.ID, 10), r.Status, strconv.FormatInt(e.RunID, 10), e.Status, e.Outcome,
		moment(e.Started), moment(e.Completed), failure,
	}
	if len(l.first.Rows) < report.Listed {
		row := make([]any, len(cells))
		for i, cell := range cells {
			row[i] = cell
		}
		l.first.Row(row...)
	}
	return l.all.Write(cells)
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

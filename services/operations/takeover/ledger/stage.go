package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

const beginStage = `-- takeover.beginStage
	insert into tenantpilot_takeover.stage (name, began_at) values ($1, now())
	on conflict (name) do update set began_at = now(), ended_at = null, report = null`

const endStage = `-- takeover.endStage
	update tenantpilot_takeover.stage set ended_at = now(), report = $2 where name = $1`

// Stage runs one stage and writes its report. The stage has passed if do returns no error
// and every check of the report holds; a plan never counts as passed.
func (l *Ledger) Stage(ctx context.Context, stage string, plan bool, options map[string]string, do func(context.Context, *report.Report) error) (*report.Report, error) {
	r := report.New(stage, plan, options, l.now().UTC())
	if !plan {
		if _, err := l.Legacy.Exec(ctx, beginStage, stage); err != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
	}
	failed := do(ctx, r)
	err := r.End(l.now().UTC(), failed)
	if err == nil && !plan {
		_, err = l.Legacy.Exec(ctx, endStage, stage, r)
	}
	path, unwritten := r.Write(l.cfg.Reports)
	if unwritten == nil {
		fmt.Fprintf(l.out, "report: %s\n", path)
	}
	return r, errors.Join(err, unwritten)
}

const stageBegan = `-- takeover.stageBegan
	select exists (select from tenantpilot_takeover.stage where name = $1)`

// Began reports whether a stage has begun since it was last undone.
func (l *Ledger) Began(ctx context.Context, stage string) (bool, error) {
	return query.True(ctx, l.Legacy, stageBegan, stage)
}

const stagePassed = `-- takeover.stagePassed
	select exists (select from tenantpilot_takeover.stage where name = $1 and ended_at is not null)`

// Passed reports whether a stage has passed since it last began.
func (l *Ledger) Passed(ctx context.Context, stage string) (bool, error) {
	return query.True(ctx, l.Legacy, stagePassed, stage)
}

// Requires returns an error unless a stage has passed since it last began.
func (l *Ledger) Requires(ctx context.Context, stage string) error {
	passed, err := l.Passed(ctx, stage)
	if err == nil && !passed {
		return fmt.Errorf("%s comes first: run it to its end", stage)
	}
	return err
}

// Package verify proves that the runs of the operations database are what the legacy rows
// say, none missing and none too many. It changes nothing but what it notes in the ledger.
package verify

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Options are the flags of verify.
type Options struct {
	Plan   bool // do not even note anything
	All    bool // compare every row field by field
	Sample int  // else compare this many rows of each table
}

// verifying is one call of verify. It reads each database in one snapshot.
type verifying struct {
	*ledger.Ledger
	o       Options
	r       *report.Report
	rows    pgx.Tx // of the legacy database
	runs    pgx.Tx // of the operations database
	history string
	counts  map[string]int64 // rows by table and link class, for progress bars; -1 means not counted
}

// Run verifies the takeover. It passes only if every check holds.
func Run(ctx context.Context, l *ledger.Ledger, o Options) (*report.Report, error) {
	if o.Sample <= 0 {
		o.Sample = 1000
	}
	if err := legacy.NotArchived(ctx, l.Legacy, legacy.Droppable...); err != nil {
		return nil, err
	}
	options := map[string]string{"all": strconv.FormatBool(o.All), "sample": strconv.Itoa(o.Sample)}
	return l.Stage(ctx, "verify", o.Plan, options, func(ctx context.Context, r *report.Report) error {
		for _, stage := range []string{"adopt", "backfill"} {
			if err := l.Requires(ctx, stage); err != nil {
				return err
			}
		}
		v := &verifying{Ledger: l, o: o, r: r, counts: map[string]int64{legacy.CanonicalRuns + " adopt": -1}}
		if o.Plan {
			return v.plan(ctx)
		}
		for _, table := range legacy.Watched {
			if err := l.Watch(ctx, table); err != nil {
				return fmt.Errorf("watch %s: %w", table, err)
			}
		}
		return v.inSnapshots(ctx, v.do)
	})
}

// inSnapshots runs do with a snapshot of each database.
func (v *verifying) inSnapshots(ctx context.Context, do func(context.Context) error) (err error) {
	if v.history, err = v.History(ctx); err != nil {
		return err
	}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	return pgx.BeginTxFunc(ctx, v.Legacy, snapshot, func(rows pgx.Tx) error {
		return pgx.BeginTxFunc(ctx, v.Operations, snapshot, func(runs pgx.Tx) error {
			v.rows, v.runs = rows, runs
			return do(ctx)
		})
	})
}

// The first statement of a transaction takes its snapshot: this forgets the writes that the
// snapshot shows, and keeps those that come later.
const forgetSeen = `-- takeover.forgetSeen
	delete from tenantpilot_takeover.write_seen`

func (v *verifying) do(ctx context.Context) error {
	if _, err := v.rows.Exec(ctx, forgetSeen); err != nil {
		return fmt.Errorf("begin to look for writes: %w", err)
	}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"links", v.links},
		{"canonical runs", v.canonical},
		{"rows and their runs", v.imported},
		{"linked rows", v.linked},
		{"references", v.references},
		{"fields", v.fields},
		{"history of runs", v.events},
		{"statistics", v.statistics},
	}
	bar := v.Bar("verify", int64(len(steps)))
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		_ = bar.Add(1)
	}
	return nil
}

const countLinks = `-- takeover.countLinks
	select link, count(*) from tenantpilot_takeover.mapped_{table} group by link order by link`

// settled are the classes that a link may have after backfill, by the kind of history.
var settled = map[string]map[string]bool{
	"import": {"imported": true, "linked": true, "wizard": true},
	"link":   {"linked": true, "unlinked": true, "wizard": true},
}

// links checks that backfill has settled every row.
func (v *verifying) links(ctx context.Context) error {
	links := v.r.Table("Links by class", "table", "link", "rows")
	for _, table := range legacy.Bridged {
		classes, err := query.Collect[ledger.Counted](ctx, v.rows, strings.ReplaceAll(countLinks, "{table}", table))
		if err != nil {
			return err
		}
		var open []string
		for _, c := range classes {
			links.Row(table, c.What, c.Rows)
			v.counts[table+" "+c.What] = c.Rows
			if !settled[v.history][c.What] {
				open = append(open, fmt.Sprintf("%d %s", c.Rows, c.What))
			}
		}
		v.r.Check("every row of "+table+" is settled", len(open) == 0, "history is %s; open: %s", v.history, report.List(open))
	}
	return nil
}

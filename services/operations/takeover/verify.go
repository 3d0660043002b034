package takeover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// verifying is one run of verify: each database as it is at one moment.
type verifying struct {
	*Tool
	o       VerifyOptions
	r       *Report
	rows    pgx.Tx // of the legacy database
	runs    pgx.Tx // of the operations database
	history string
	worth   map[string]int64 // rows by table and link, -1: not counted
}

// Verify proves that what the operations database has is what the legacy database
// says, nothing missing and nothing more. It passes only if every check holds.
func (t *Tool) Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	if o.Sample <= 0 {
		o.Sample = 1000
	}
	for _, table := range droppable {
		if gone, err := t.isArchived(ctx, t.legacy, table); err != nil || gone {
			return nil, errors.Join(err, whenTrue(gone, errArchived))
		}
	}
	options := map[string]string{"all": strconv.FormatBool(o.All), "sample": strconv.Itoa(o.Sample)}
	return t.run(ctx, "verify", o.Plan, options, func(ctx context.Context, r *Report) error {
		for _, stage := range []string{"adopt", "backfill"} {
			if err := t.requires(ctx, stage); err != nil {
				return err
			}
		}
		if o.Plan {
			return t.planVerify(ctx, r, o)
		}
		history, err := t.history(ctx)
		if err != nil {
			return err
		}
		for _, table := range watched {
			if err := t.watch(ctx, table); err != nil {
				return fmt.Errorf("watch %s: %w", table, err)
			}
		}
		return t.inSnapshots(ctx, func(rows, runs pgx.Tx) error {
			v := &verifying{Tool: t, o: o, r: r, rows: rows, runs: runs, history: history, worth: map[string]int64{canonicalRuns + " adopt": -1}}
			return v.do(ctx)
		})
	})
}

// inSnapshots runs do with both databases standing still.
func (t *Tool) inSnapshots(ctx context.Context, do func(rows, runs pgx.Tx) error) error {
	still := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	return pgx.BeginTxFunc(ctx, t.legacy, still, func(rows pgx.Tx) error {
		return pgx.BeginTxFunc(ctx, t.target, still, func(runs pgx.Tx) error {
			return do(rows, runs)
		})
	})
}

// The first statement of a transaction decides what it sees: writes from here on
// are not taken back.
const takeWritesBack = `-- takeover.takeWritesBack
	delete from tenantpilot_takeover.write_seen`

func (v *verifying) do(ctx context.Context) error {
	if _, err := v.rows.Exec(ctx, takeWritesBack); err != nil {
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
	bar := v.bar("verify", int64(len(steps)))
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

// What a link may be worth once backfill is through, by the kind of history.
var settled = map[string]map[string]bool{
	"import": {"imported": true, "linked": true, "wizard": true},
	"link":   {"linked": true, "unlinked": true, "wizard": true},
}

// links checks that backfill has decided about every row.
func (v *verifying) links(ctx context.Context) error {
	worth := v.r.table("What the links are worth", "table", "link", "rows")
	for _, table := range bridged {
		classes, err := collect[counted](ctx, v.rows, strings.ReplaceAll(countLinks, "{table}", table))
		if err != nil {
			return err
		}
		var open []string
		for _, c := range classes {
			worth.row(table, c.What, c.Rows)
			v.worth[table+" "+c.What] = c.Rows
			if !settled[v.history][c.What] {
				open = append(open, fmt.Sprintf("%d %s", c.Rows, c.What))
			}
		}
		v.r.check("every row of "+table+" is decided about", len(open) == 0, "history is %s; open: %s", v.history, orNone(open))
	}
	return nil
}

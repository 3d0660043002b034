package verify

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// rowOfRun is a legacy row: the run it should have, and what that run should say.
type rowOfRun struct {
	RunID, ID            int64
	Was, Status, Outcome string
	Hash                 []byte
}

func (r rowOfRun) Key() int64 { return r.RunID }

// runOfRow is an imported run, and the row that it names as its origin.
type runOfRow struct {
	RunID           int64
	Source, ID      string
	Status, Outcome string
	Hash            []byte
	HashKept        bool // the run has the hash of the older installation
}

func (r runOfRow) Key() int64 { return r.RunID }

const rowsWithRuns = `-- takeover.rowsWithRuns
	select run_id, legacy_id, coalesce(context #>> '{legacy,status}', '(none)'), status, outcome, run_identity_hash
	from tenantpilot_takeover.mapped_{table} where link = $1 order by run_id, legacy_id`

const runsOfBlock = `-- takeover.runsOfBlock
	select r.id, coalesce(r.context #>> '{legacy,source}', ''), coalesce(r.context #>> '{legacy,id}', ''), r.status, r.outcome, r.run_identity_hash,
		coalesce(r.context #> '{legacy,notes}' ? 'hash_kept', false)
	from operation_runs r, takeover_block b
	where b.source = $1 and r.id > b.base and r.id <= b.base + b.last_legacy_id and r.origin = 'legacy' order by r.id`

// match is the result of comparing rows with runs.
type match struct {
	rows, runs                                int64
	lonely, orphaned, twice, strange, unequal oddities // rows without a run, runs without a row, …
	other                                     oddities // rows whose run has another identity
	states                                    map[state]int64
	last                                      int64
}

// state is the status of a row, and the status and outcome of its run.
type state struct{ Was, Status, Outcome string }

// oddities counts what is wrong, and names the first few.
type oddities struct {
	count int64
	first []string
}

func (o *oddities) add(format string, args ...any) {
	if o.count++; len(o.first) < report.Samples {
		o.first = append(o.first, fmt.Sprintf(format, args...))
	}
}

func (o *oddities) String() string {
	if o.count == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, such as %s", o.count, strings.Join(o.first, ", "))
}

// match compares the rows of one link class with the runs of a block.
func (v *verifying) match(ctx context.Context, table, link, block string) (*match, error) {
	rows, err := query.Read[rowOfRun](ctx, v.rows, strings.ReplaceAll(rowsWithRuns, "{table}", table), link)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	runs, err := query.Read[runOfRow](ctx, v.runs, runsOfBlock, block)
	if err != nil {
		return nil, err
	}
	defer runs.Close()
	m := &match{states: map[state]int64{}}
	bar := v.Bar("match "+link+" rows of "+table, v.counts[table+" "+link])
	defer bar.Finish() //nolint:errcheck // it only shows progress
	return m, query.Merge(rows, runs, func(row *rowOfRun, run *runOfRow) error {
		m.pair(block, row, run)
		_ = bar.Add(1)
		return nil
	})
}

func (m *match) pair(source string, row *rowOfRun, run *runOfRow) {
	switch {
	case row == nil:
		m.runs++
		m.orphaned.add("run %d", run.RunID)
		return
	case run == nil:
		m.rows++
		m.lonely.add("row %d (run %d)", row.ID, row.RunID)
		return
	}
	m.rows++
	if m.last == row.RunID {
		m.twice.add("run %d (row %d)", row.RunID, row.ID)
	} else {
		m.runs++
	}
	m.last = row.RunID
	m.states[state{row.Was, run.Status, run.Outcome}]++
	if run.Source != source || run.ID != fmt.Sprint(row.ID) {
		m.strange.add("run %d says it was row %s of %s", run.RunID, run.ID, run.Source)
	}
	if !run.HashKept && !bytes.Equal(row.Hash, run.Hash) {
		m.other.add("row %d (run %d)", row.ID, row.RunID)
	}
	if row.Status != run.Status || row.Outcome != run.Outcome || !bytes.Equal(row.Hash, run.Hash) {
		m.unequal.add("run %d is %s/%s, row %d says %s/%s", run.RunID, run.Status, run.Outcome, row.ID, row.Status, row.Outcome)
	}
}

// canonical compares canonical rows with their runs.
func (v *verifying) canonical(ctx context.Context) error {
	m, err := v.match(ctx, legacy.CanonicalRuns, "adopt", legacy.CanonicalRuns)
	if err != nil {
		return err
	}
	v.judge(legacy.CanonicalRuns, m)
	return nil
}

// imported compares the rows that became runs with those runs.
func (v *verifying) imported(ctx context.Context) error {
	for _, table := range legacy.Bridged {
		m, err := v.match(ctx, table, "imported", table)
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		v.judge(table, m)
	}
	return nil
}

// judge checks what must hold of rows and the runs that were made of them.
func (v *verifying) judge(table string, m *match) {
	v.r.Check("every row of "+table+" has its run", m.lonely.count == 0, "%d rows; without: %s", m.rows, &m.lonely)
	v.r.Check("every run made of "+table+" has its row", m.orphaned.count == 0, "%d runs; without: %s", m.runs, &m.orphaned)
	v.r.Check("no run was made of two rows of "+table, m.twice.count == 0, "%s", &m.twice)
	v.r.Check("every run made of "+table+" names its row", m.strange.count == 0, "wrong: %s", &m.strange)
	v.r.Check("status, outcome and hash of every run made of "+table+" are right", m.unequal.count == 0, "wrong: %s", &m.unequal)
	v.crossTabulate("Statuses of "+table+", before and now", m)
}

func (v *verifying) crossTabulate(title string, m *match) {
	if len(m.states) == 0 {
		return
	}
	states := v.r.Table(title, "was", "status", "outcome", "runs")
	for _, s := range sortedStates(m.states) {
		states.Row(s.Was, s.Status, s.Outcome, m.states[s])
	}
}

func sortedStates(counts map[state]int64) []state {
	states := make([]state, 0, len(counts))
	for s := range counts {
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b state) int {
		return cmp.Or(cmp.Compare(a.Was, b.Was), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Outcome, b.Outcome))
	})
	return states
}

// linked compares linked rows with their canonical runs. Status and counts may differ, and
// then the run is right. But the run must have the row's tenant, which the link class says,
// and the row's identity.
func (v *verifying) linked(ctx context.Context) error {
	for _, table := range legacy.Bridged {
		m, err := v.match(ctx, table, "linked", legacy.CanonicalRuns)
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		v.r.Check("every linked row of "+table+" has its run", m.lonely.count == 0, "%d rows; without: %s", m.rows, &m.lonely)
		v.r.Check("no two rows of "+table+" are linked to one run", m.twice.count == 0, "%s", &m.twice)
		v.r.Check("every linked row of "+table+" has the identity of its run", m.other.count == 0, "others: %s", &m.other)
		v.crossTabulate("Statuses of linked rows of "+table+", and of their runs", m)
	}
	return nil
}

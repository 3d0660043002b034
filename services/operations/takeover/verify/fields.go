package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/mapping"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

const sampleRows = `-- takeover.sampleRows
	select id from (select id from {table} order by hashint8(id), id limit $1) s order by id`

const nextRows = `-- takeover.nextRows
	select id from {table} where id > $1 order by id limit $2`

// compareBatch is how many rows are read at once.
const compareBatch = 1_000

// fields compares rows with their runs field by field: all rows, or a sample of each table.
func (v *verifying) fields(ctx context.Context) error {
	for _, source := range legacy.Sources {
		c := &comparison{verifying: v, source: source}
		var err error
		if v.o.All {
			err = c.all(ctx)
		} else {
			err = c.sample(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		v.r.Check("every field of the runs made of "+source+" is right", c.wrong.count == 0, "%d runs were compared; wrong: %s", c.compared, &c.wrong)
	}
	return nil
}

// comparison compares the rows of one source with their runs.
type comparison struct {
	*verifying
	source   string
	compared int64
	wrong    oddities
}

func (c *comparison) all(ctx context.Context) error {
	bar := c.Bar("compare "+c.source, -1)
	for after := int64(-1); ; {
		ids, err := c.ids(ctx, nextRows, after, compareBatch)
		if err != nil || len(ids) == 0 {
			_ = bar.Finish()
			return err
		}
		if err := c.compare(ctx, ids); err != nil {
			return err
		}
		after = ids[len(ids)-1]
		_ = bar.Add(len(ids))
	}
}

func (c *comparison) sample(ctx context.Context) error {
	ids, err := c.ids(ctx, sampleRows, c.o.Sample)
	if err != nil {
		return err
	}
	bar := c.Bar("compare some of "+c.source, int64(len(ids)))
	for batch := range slices.Chunk(ids, compareBatch) {
		if err := c.compare(ctx, batch); err != nil {
			return err
		}
		_ = bar.Add(len(batch))
	}
	return nil
}

func (c *comparison) ids(ctx context.Context, sql string, args ...any) ([]int64, error) {
	rows, err := c.rows.Query(ctx, strings.ReplaceAll(sql, "{table}", c.source), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// columnsOfRun is a run by column, as stored or as a view expects it.
type columnsOfRun struct {
	RunID  int64
	Fields map[string]any
}

const runsExpected = `-- takeover.runsExpected
	select run_id, to_jsonb(m) - '{run_id,legacy_id,link,bridge}'::text[] from tenantpilot_takeover.mapped_{table} m
	where legacy_id = any($1) and link in ('adopt', 'imported') order by 1`

const runsStored = `-- takeover.runsStored
	select id, to_jsonb(r) from operation_runs r where id = any($1) order by 1`

// compare compares the runs of some rows twice: with the views, which wrote them, and with
// package mapping, which is written independently of the views.
func (c *comparison) compare(ctx context.Context, ids []int64) error {
	expected, err := query.Collect[columnsOfRun](ctx, c.rows, strings.ReplaceAll(runsExpected, "{table}", c.source), ids)
	if err != nil {
		return err
	}
	runs := make([]int64, len(expected))
	for i, e := range expected {
		runs[i] = e.RunID
	}
	stored, err := query.Collect[columnsOfRun](ctx, c.runs, runsStored, runs)
	if err != nil {
		return err
	}
	got := map[int64]map[string]any{}
	for _, s := range stored {
		got[s.RunID] = s.Fields
	}
	var same []int64
	for _, e := range expected {
		if c.compareFields(e, got[e.RunID]) {
			same = append(same, e.RunID)
		}
	}
	mapped, err := expectedRuns(ctx, c.rows, c.source, ids)
	if err != nil {
		return err
	}
	if err := c.comparePresence(ctx, ids, runs, mapped); err != nil {
		return err
	}
	return c.compareMapped(ctx, mapped, same)
}

func (c *comparison) compareFields(want columnsOfRun, got map[string]any) bool {
	c.compared++
	for _, name := range slices.Sorted(maps.Keys(want.Fields)) {
		if !reflect.DeepEqual(want.Fields[name], got[name]) {
			c.wrong.add("%s of run %d is %v and should be %v", name, want.RunID, got[name], want.Fields[name])
			return false
		}
	}
	return true
}

const linkedRows = `-- takeover.linkedRows
	select b.base + l.legacy_id from tenantpilot_takeover.link_{table} l, tenantpilot_takeover.run_block b
	where b.source = '{table}' and l.legacy_id = any($1) and l.link = 'linked'`

// comparePresence looks for rows that package mapping makes a run of, while the views make
// none and see no link. If history is only linked, such rows are right.
func (c *comparison) comparePresence(ctx context.Context, rows, runs []int64, mapped []mapping.Run) error {
	if c.history == "link" && c.source != legacy.CanonicalRuns {
		return nil
	}
	linked, err := c.ids(ctx, linkedRows, rows)
	if err != nil {
		return err
	}
	known := map[int64]bool{}
	for _, id := range append(linked, runs...) {
		known[id] = true
	}
	for _, m := range mapped {
		if !known[m.ID] {
			c.wrong.add("run %d is missing: its row should have become one", m.ID)
		}
	}
	return nil
}

// compareMapped compares runs that agree with the views, and their labels.
func (c *comparison) compareMapped(ctx context.Context, mapped []mapping.Run, runs []int64) error {
	want := map[int64]mapping.Run{}
	for _, m := range mapped {
		want[m.ID] = m
	}
	stored, err := storedRuns(ctx, c.runs, runs)
	if err != nil {
		return err
	}
	for _, s := range stored {
		if differs := want[s.ID].Differences(s); len(differs) > 0 {
			c.wrong.add("%s of run %d differ from what package mapping says", strings.Join(differs, ", "), s.ID)
		}
	}
	return c.compareLabels(ctx, stored)
}

const readLabels = `-- takeover.readLabels
	select run_id, coalesce(jsonb_object_agg(key, value) filter (where key <> 'run.reason_code'), '{}')
	from run_label where run_id = any($1) group by 1`

// labelsOfRun are the labels that a run can be searched by.
type labelsOfRun struct {
	RunID  int64
	Labels map[string]string
}

func (c *comparison) compareLabels(ctx context.Context, runs []mapping.Run) error {
	ids := make([]int64, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	list, err := query.Collect[labelsOfRun](ctx, c.runs, readLabels, ids)
	if err != nil {
		return err
	}
	labels := map[int64]map[string]string{}
	for _, l := range list {
		labels[l.RunID] = l.Labels
	}
	types := run.DefaultTypes()
	for _, r := range runs {
		said, err := json.Marshal(searched(r.Context))
		if err != nil {
			return err
		}
		want := run.Start{Type: types[r.Type], Context: said}.Labels()
		if !maps.Equal(want, labels[r.ID]) {
			c.wrong.add("labels of run %d are %v and should be %v", r.ID, labels[r.ID], want)
		}
	}
	return nil
}

// searched returns a context with its search keys where a live run has them.
func searched(doc map[string]any) map[string]any {
	doc = maps.Clone(doc)
	inputs, _ := doc["inputs"].(map[string]any)
	for key, told := range legacy.RenamedKeys {
		if v, ok := doc[told]; ok {
			doc[key] = v
		} else {
			doc[key] = inputs[told]
		}
	}
	return doc
}

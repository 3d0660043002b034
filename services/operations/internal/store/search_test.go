package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

func migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, Migrations())
}

// seeded returns a database with n runs, some of whose values are rare and some common.
func seeded(t *testing.T, n int) *pgtest.DB {
	t.Helper()
	db := pgtest.New(t, "operations", migrate)
	owner, err := pgx.Connect(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	for _, sql := range []string{"set synchronous_commit = off", seedRuns, seedLeases, seedLabels, seedUnusual} {
		args := []any{pgx.QueryExecModeSimpleProtocol}
		if strings.Contains(sql, "$1") {
			args = append(args, n)
		}
		_, err := owner.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	_, err = owner.Exec(t.Context(), "vacuum analyze")
	require.NoError(t, err)
	return db
}

// Inserts $1 runs. The newest twentieth is active, the oldest tenth is imported. A handful
// of runs, spread over the whole history, have rare values.
const seedRuns = `
	insert into operation_runs (workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash, failure_summary,
		context, started_at, completed_at, created_at, queued_at, lease_epoch, attempt, max_attempts, retry_of, retry_number, parent_run_id,
		traceparent, origin)
	select 1 + (g % 10 = 0)::int, case when rare then 99 else 1 + g % 40 end,
		case when rare then 99 when g % 8 = 0 then 1 + g % 5 end,
		case when rare then 'rare' when g % 8 = 0 then 'user ' || g % 5 else 'schedule' end,
		case when rare then 'restore_execute' when g % 4 = 0 then 'backup_schedule_run' else 'inventory_sync' end,
		case when not active then 'completed' when g % 2 = 0 then 'queued' else 'running' end,
		case when active then 'pending' when rare then 'cancelled' when g % 20 = 1 then 'failed' when g % 50 = 2 then 'partially_succeeded' else 'succeeded' end,
		sha256(g::text::bytea),
		case when not active and (g % 20 = 1 or g % 50 = 2 or rare)
			then jsonb_build_array(jsonb_build_object('reason_code', case when rare then 'storage_full' when g % 3 = 0 then 'throttled' else 'dependency' end))
			else '[]' end,
		jsonb_build_object('inputs', jsonb_build_object('selection_hash', md5((g % 100)::text)), 'note', repeat('x', 200))
			|| case when g <= $1 / 10 then jsonb_build_object('legacy', jsonb_build_object('source', case when rare then 'old_restore_runs' else 'old_sync_runs' end, 'id', g::text)) else '{}' end,
		at, case when not active then at + make_interval(secs => g % 600) end, at, at, 1, 1, 3,
		case when g % 30 = 0 then g - 30 end, (g % 30 = 0)::int, case when rare then 1 when g % 9 = 0 then g - g % 900 end,
		case when g % 3 > 0 then '00-' || md5((g / 5)::text) || '-00f067aa0ba902b7-01' else '' end,
		case when g <= $1 / 10 then 'legacy' else 'live' end
	from generate_series(1, $1) g, lateral (select timestamptz '2026-01-01Z' + make_interval(secs => g * 5) as at, g > $1 - $1 / 20 as active,
		g <= $1 - $1 / 20 and g % ($1 / 30) = 1 as rare) s`

// Inserts a hundred unusual runs, evenly spread: imported ones that began before they were
// created, and live ones that took three hours.
const seedUnusual = `
	insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, started_at, completed_at, created_at,
		max_attempts, origin)
	select 1, 1, 'schedule', 'inventory_sync', 'completed', 'succeeded', sha256(convert_to('unusual ' || g, 'UTF8')), begun, begun + interval '3 hours', at,
		1, case when begun < at then 'legacy' else 'live' end
	from generate_series(1, 100) g, lateral (select timestamptz '2026-01-01Z' + make_interval(secs => g * ($1 / 100 * 5)) as at) a,
		lateral (select at - make_interval(hours => g % 2) as begun) b`

const seedLeases = `
	insert into run_lease (run_id, epoch, holder, expires_at)
	select id, 1, 'worker', now() + interval '1 hour' from operation_runs where status = 'running'`

const seedLabels = `
	insert into run_label (workspace_id, key, value, created_at, run_id)
	select workspace_id, 'selection_hash', context -> 'inputs' ->> 'selection_hash', created_at, id from operation_runs
	union all
	select workspace_id, 'backup_schedule_id', case when tenant_id = 99 then 'rare' else (id % 3)::text end, created_at, id from operation_runs where id % 5 = 1`

func yes(b bool) *bool { return &b }

// singleFilters returns filters by each field, with values that many runs have and that few have.
func singleFilters(n int) map[string]run.Filter {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 5 * time.Second / 2)
	return map[string]run.Filter{
		"none":                        {},
		"queued":                      {Status: run.Queued},
		"running":                     {Status: run.Running},
		"completed":                   {Status: run.Completed},
		"pending":                     {Outcome: run.Pending},
		"succeeded":                   {Outcome: run.Succeeded},
		"failed":                      {Outcome: run.Failed},
		"partially succeeded":         {Outcome: run.PartiallySucceeded},
		"cancelled, rare":             {Outcome: run.Cancelled},
		"type":                        {Type: "inventory_sync"},
		"type, rare":                  {Type: "restore_execute"},
		"type, none":                  {Type: "backup_verify"},
		"tenant":                      {TenantID: 3},
		"tenant, rare":                {TenantID: 99},
		"tenant, none":                {TenantID: 1000},
		"user":                        {UserID: 3},
		"user, rare":                  {UserID: 99},
		"initiator":                   {InitiatorName: "schedule"},
		"initiator, rare":             {InitiatorName: "rare"},
		"initiator, none":             {InitiatorName: "nobody"},
		"with failures":               {HasFailures: yes(true)},
		"without failures":            {HasFailures: yes(false)},
		"reason":                      {ReasonCode: "dependency"},
		"reason, rare":                {ReasonCode: "storage_full"},
		"retry of":                    {RetryOf: int64(n) / 30 / 2 * 30},
		"parent":                      {ParentRunID: int64(n) / 900 / 2 * 900},
		"trace":                       {TraceID: "c4ca4238a0b923820dcc509a6f75849b"},
		"legacy source":               {LegacySource: "old_sync_runs"},
		"legacy source, rare":         {LegacySource: "old_restore_runs"},
		"legacy id":                   {LegacyID: "77"},
		"context":                     {Labels: map[string]string{"selection_hash": "c4ca4238a0b923820dcc509a6f75849b"}},
		"context, rare":               {Labels: map[string]string{"backup_schedule_id": "rare"}},
		"context, none":               {Labels: map[string]string{"backup_schedule_id": "none"}},
		"created before":              {Bounds: []run.Bound{{Moment: run.CreateTime, Comparison: run.Before, At: at}}},
		"created in an hour":          {Bounds: []run.Bound{{Moment: run.CreateTime, Comparison: run.NotUntil, At: at}, {Moment: run.CreateTime, Comparison: run.Before, At: at.Add(time.Hour)}}},
		"combined":                    {Type: "inventory_sync", TenantID: 3, Outcome: run.Failed},
		"combined, nothing matches":   {Type: "backup_schedule_run", InitiatorName: "rare"},
		"combined with two of labels": {ReasonCode: "dependency", Labels: map[string]string{"selection_hash": "c4ca4238a0b923820dcc509a6f75849b"}},
	}
}

// timeFilters returns a filter by each time and comparison, at the middle of the history.
func timeFilters(n int) map[string]run.Filter {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 5 * time.Second / 2)
	filters := map[string]run.Filter{}
	for _, m := range []run.Moment{run.CreateTime, run.StartTime, run.CompleteTime} {
		for _, c := range []run.Comparison{run.At, run.Before, run.Until, run.After, run.NotUntil} {
			filters[fmt.Sprintf("%s %s", m, c)] = run.Filter{Bounds: []run.Bound{{Moment: m, Comparison: c, At: at}}}
		}
	}
	return filters
}

// The cost of a list does not grow with the number of runs: for every filter, order and
// place, it reads an index in order, a bounded number of runs, and sorts nothing.
func TestListsAreServedByIndexesWithoutASort(t *testing.T) {
	t.Parallel()
	n, modes := 20_000, []string{"force_generic_plan"}
	if os.Getenv("TENANTPILOT_BIG") != "" {
		n, modes = 1_000_000, append(modes, "force_custom_plan")
	}
	db := seeded(t, n)
	byTime := timeFilters(n)
	filters := singleFilters(n)
	maps.Copy(filters, byTime)
	middle := &Cursor{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 5 * time.Second / 2), ID: int64(n) / 2}
	places := []*Cursor{nil, middle, {At: middle.At, ID: middle.ID, Back: true, Inclusive: true}}
	for name, f := range filters {
		for _, o := range []run.Order{{By: run.CreateTime}, {By: run.CreateTime, Ascending: true}, {By: run.CompleteTime}, {By: run.CompleteTime, Ascending: true}} {
			for _, from := range places {
				l := List{WorkspaceID: 1, Filter: f, Order: o, From: from, Size: 50}
				for _, mode := range modes {
					p := explain(t, db, l, mode)
					about := fmt.Sprintf("%s, %v from %v, %s", name, o, from, mode)
					p.require(t, about)
					if _, is := byTime[name]; is {
						assert.LessOrEqual(t, p.examined, float64(l.Size+1+anHour+100), "%s:\n%s", about, p.text)
					}
				}
			}
		}
	}
}

// The planner settings of a list end with it.
func TestTheSettingsOfAListEndWithIt(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	conn, err := db.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	var during, after string
	batch := &pgx.Batch{}
	batch.Queue(walkIndexesSQL)
	batch.Queue("show enable_sort").QueryRow(func(row pgx.Row) error { return row.Scan(&during) })
	require.NoError(t, conn.SendBatch(t.Context(), batch).Close())
	require.NoError(t, conn.QueryRow(t.Context(), "show enable_sort").Scan(&after))
	require.Equal(t, "off on", during+" "+after)
}

// mostBuffers is what a page may cost that examines as many runs as it may: for each run
// an index entry, the run, and what its conditions read.
const mostBuffers = 10 * examined

// anHour is how many seeded runs were created in an hour. If a list is filtered by another
// time than it is ordered by, a page may read so many runs, and the unusual ones, for
// nothing.
const anHour = 3600 / 5

type plan struct {
	nodes    []string
	wasted   float64 // rows that the worst index scan read and then filtered out
	examined float64 // runs that were compared with the conditions
	buffers  int
	ms       float64
	text     string
}

// explain executes l as the store does, as a prepared statement with a custom plan or a
// generic one.
func explain(t *testing.T, db *pgtest.DB, l List, mode string) plan {
	t.Helper()
	sql, args := l.statement()
	conn, err := db.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	var words []string
	for _, a := range args {
		switch a := a.(type) {
		case int64:
			words = append(words, fmt.Sprint(a))
		case time.Time:
			words = append(words, "'"+a.Format(time.RFC3339Nano)+"'")
		default:
			words = append(words, fmt.Sprintf("'%s'", a))
		}
	}
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, sql)
	}
	exec("begin")
	defer exec("rollback")
	exec(walkIndexesSQL)
	exec("set local plan_cache_mode = " + mode)
	exec("prepare list as " + sql)
	defer exec("deallocate list")
	var raw []byte
	require.NoError(t, conn.QueryRow(t.Context(), "explain (analyze, buffers, format json) execute list ("+strings.Join(words, ", ")+")",
		pgx.QueryExecModeSimpleProtocol).Scan(&raw))
	var said []struct {
		Plan map[string]any
		Ms   float64 `json:"Execution Time"`
	}
	require.NoError(t, json.Unmarshal(raw, &said))
	p := plan{ms: said[0].Ms}
	p.buffers = int(said[0].Plan["Shared Hit Blocks"].(float64) + said[0].Plan["Shared Read Blocks"].(float64))
	p.read(said[0].Plan, 0)
	return p
}

// require fails the test if p costs more than a page may cost.
func (p *plan) require(t *testing.T, about string) {
	t.Helper()
	t.Logf("%-90s %5.0f examined %6d buffers %8.3f ms", about, p.examined, p.buffers, p.ms)
	for _, node := range p.nodes {
		for _, bad := range []string{"Sort", "Bitmap", "Seq Scan"} {
			assert.NotContains(t, node, bad, "%s:\n%s", about, p.text)
		}
	}
	assert.Less(t, p.wasted, 10.0, "an index knows all that its range is read for: %s:\n%s", about, p.text)
	assert.Less(t, p.buffers, mostBuffers, "%s:\n%s", about, p.text)
}

func (p *plan) read(node map[string]any, depth int) {
	what := fmt.Sprint(node["Node Type"], " ", node["Index Name"], " ", node["Relation Name"])
	p.nodes = append(p.nodes, what)
	if removed, ok := node["Rows Removed by Filter"].(float64); ok && strings.HasPrefix(what, "Index") {
		p.wasted = max(p.wasted, removed)
	}
	if node["Node Type"] == "WindowAgg" {
		p.examined = node["Actual Rows"].(float64)
	}
	p.text += fmt.Sprintf("%s%s rows %v\n", strings.Repeat("  ", depth), what, node["Actual Rows"])
	inner, _ := node["Plans"].([]any)
	for _, i := range inner {
		p.read(i.(map[string]any), depth+1)
	}
}

package store

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Inserts live runs with times in order, which waited and took up to two hours, and
// imported ones with times in any order, begun or not. Many share a minute.
const seedTimes = `
	insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, created_at, queued_at,
		started_at, completed_at, lease_epoch, attempt, max_attempts, origin)
	select 1, 'x', 'inventory_sync', status, case status when 'completed' then 'succeeded' else 'pending' end, sha256(g::text::bytea), created, created,
		case when status = 'running' or g % 4 > 0 then started end, case status when 'completed' then completed end,
		1, 1, 1, case when legacy then 'legacy' else 'live' end
	from generate_series(1, 240) g,
		lateral (select g % 3 = 0 as legacy, timestamptz '2026-01-01Z' + make_interval(mins => hashint4(g) & 511) as created,
			case g % 20 when 1 then 'queued' when 2 then 'running' when 3 then 'running' else 'completed' end as status) a,
		lateral (select created + make_interval(mins => (hashint4(g + 1000) & 127) * (g % 2) - case when legacy then 60 else 0 end) as started) b,
		lateral (select greatest(started, case when not legacy then created end)
			+ make_interval(mins => (hashint4(g + 2000) & 127) * (g % 5 / 2) - case when legacy then 60 else 0 end) as completed) c`

// A list by any time has each run once, forwards and backwards, whatever the times of the
// runs are.
func TestListsByTimeHaveEveryRunOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	s := New(db.Pool, run.DefaultTypes())
	execute(t, db.Pool, seedTimes)
	for order, end := range map[run.Order]Cursor{
		{By: run.CreateTime}: firstOfAll, {By: run.CreateTime, Ascending: true}: lastOfAll,
		{By: run.CompleteTime}: firstOfAll, {By: run.CompleteTime, Ascending: true}: lastOfAll,
	} {
		for _, bounds := range boundsToTry() {
			l := List{WorkspaceID: 1, Filter: run.Filter{Bounds: bounds}, Order: order, Size: 25}
			want := idsInOrder(t, s, l)
			require.Equal(t, want, readAll(t, s, l), "%v by %v", bounds, order)
			l.From = &end
			require.Equal(t, want, readAll(t, s, l), "%v by %v, back", bounds, order)
		}
	}
}

// The ends from which a descending and an ascending list are read backwards.
var (
	firstOfAll = Cursor{At: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Back: true}
	lastOfAll  = Cursor{At: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC), Back: true}
)

// boundsToTry returns single bounds, pairs of bounds, and pairs that only unusual runs
// can meet.
func boundsToTry() [][]run.Bound {
	var single []run.Bound
	for _, m := range []run.Moment{run.CreateTime, run.StartTime, run.CompleteTime} {
		for _, c := range []run.Comparison{run.At, run.Before, run.Until, run.After, run.NotUntil} {
			for _, minute := range []int{-30, 100, 250} {
				single = append(single, run.Bound{Moment: m, Comparison: c, At: atMinute(minute)})
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a repeatable choice
	var all [][]run.Bound
	for _, b := range single {
		all = append(all, []run.Bound{b}, []run.Bound{b, single[r.IntN(len(single))]})
	}
	for minute := 0; minute < 512; minute += 25 {
		all = append(all, []run.Bound{
			{Moment: run.StartTime, Comparison: run.Before, At: atMinute(minute)}, {Moment: run.CompleteTime, Comparison: run.After, At: atMinute(minute + 75)},
		})
	}
	return all
}

func atMinute(minute int) time.Time { return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }

// idsInOrder returns the ids of the runs of l, by a statement that reads all runs.
func idsInOrder(t *testing.T, s *Store, l List) []int64 {
	t.Helper()
	q := &query{args: []any{l.WorkspaceID}}
	where := "r.workspace_id = $1 and " + momentColumn[l.Order.By] + " is not null"
	for _, b := range l.Filter.Bounds {
		where += " and " + within(q, momentColumn[b.Moment], b)
	}
	rows, err := s.db.Query(t.Context(), "select r.id from operation_runs r where "+where+" "+l.orderBy(momentColumn[l.Order.By], "r.id"), q.args...)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return ids
}

// readAll returns the ids of the runs of l, page by page.
func readAll(t *testing.T, s *Store, l List) []int64 {
	t.Helper()
	ids := []int64{}
	for more := true; more; more = l.From != nil {
		p, err := s.ListRuns(t.Context(), l)
		require.NoError(t, err)
		page := []int64{}
		for _, r := range p.Runs {
			page = append(page, r.ID)
		}
		if l.back() {
			ids, l.From = append(page, ids...), p.Previous
		} else {
			ids, l.From = append(ids, page...), p.Next
		}
	}
	return ids
}

func execute(t *testing.T, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

package takeover

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

func (s *stages) adopt(o AdoptOptions) *Report {
	s.t.Helper()
	return s.done(s.tool.Adopt(s.t.Context(), o))
}

// refused adopts where that must not be, and answers the checks that fail.
func (s *stages) refused(o AdoptOptions) string {
	s.t.Helper()
	r, err := s.tool.Adopt(s.t.Context(), o)
	require.ErrorIs(s.t, err, errNotPassed)
	return failing(r)
}

func failing(r *Report) string {
	var said []string
	for _, c := range r.Checks {
		if !c.Passed {
			said = append(said, c.Name+": "+c.Detail)
		}
	}
	return strings.Join(said, "\n")
}

func finding(r *Report, code, source string) Finding {
	for _, f := range r.Findings {
		if f.Code == code && f.Source == source {
			return f
		}
	}
	return Finding{}
}

// one reads one value.
func one[T any](t *testing.T, db *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return v
}

// state is everything both databases and tenancy hold, but for when stages ran.
func (s *stages) state() string {
	s.t.Helper()
	return rowsOf(s.t, s.tool.legacy) + rowsOf(s.t, s.tool.target) + fmt.Sprint(s.registry.known)
}

// rowsOf answers every row of every table, and the places of sequences.
func rowsOf(t *testing.T, db *pgxpool.Pool) string {
	t.Helper()
	const tables = `select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables
		where schemaname not in ('pg_catalog', 'information_schema') and schemaname !~ '^pg_' and tablename <> 'stage' order by 1`
	names, err := texts(t.Context(), db, tables)
	require.NoError(t, err)
	var all strings.Builder
	for _, name := range names {
		rows, err := texts(t.Context(), db, "select t::text from "+name+" t order by 1")
		require.NoError(t, err)
		fmt.Fprintf(&all, "%s: %s\n", name, strings.Join(rows, "\n"))
	}
	sequences, err := texts(t.Context(), db, "select format('%s %s', sequencename, last_value) from pg_sequences order by 1")
	require.NoError(t, err)
	return all.String() + strings.Join(sequences, "\n") + "\n"
}

// owners are who the awkward workspaces need where there are no memberships.
var owners = map[int64]string{1: "1", 2: "3", 4: "Lena Neu"}

func TestAdoptKeepsIDsWhereTheyAreFree(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	w.execRuns("select setval('operation_runs_id_seq', 10000)") // as bootstrap reserves them
	before := one[int64](t, w.tool.legacy, "select count(*) from operation_runs")
	w.adopt(AdoptOptions{Owners: owners})

	require.Equal(t, before, one[int64](t, w.tool.target, "select count(*) from operation_runs where origin = 'legacy' and id < 10000"))
	require.Equal(t, before, one[int64](t, w.tool.target,
		"select count(*) from operation_runs where context -> 'legacy' ->> 'id' = id::text and context -> 'legacy' ->> 'source' = 'operation_runs'"))
	end := one[int64](t, w.tool.target, "select max(base + last_legacy_id) from takeover_block")
	require.Equal(t, end+1, one[int64](t, w.tool.target, "select nextval('operation_runs_id_seq')"))
	require.Equal(t, int64(5), one[int64](t, w.tool.legacy, "select count(*) from tenantpilot_takeover.run_block"))
	require.Zero(t, one[int64](t, w.tool.target, `select count(*) from takeover_block x join takeover_block y
		on x.source < y.source and x.base < y.base + y.last_legacy_id and y.base < x.base + x.last_legacy_id`), "blocks overlap")
}

func TestAdoptPlansWithoutChangingAnything(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Memberships: true, UnknownType: true, LooseTenants: true})
	before := w.state()
	for _, o := range []AdoptOptions{
		{},
		{TypeMap: map[string]string{"policy.export": archive}, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"}, Owners: map[int64]string{2: "3"}, Timezone: "Europe/Berlin"},
	} {
		o.Plan = true
		_, err := w.tool.Adopt(t.Context(), o)
		require.ErrorIs(t, err, errNotPassed, "the workspace to make has no owner yet")
		require.Equal(t, before, w.state())
	}
	o := AdoptOptions{
		Plan: true, TypeMap: map[string]string{"policy.export": archive}, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"},
		Owners: map[int64]string{2: "3", madeID("Loose"): "1"},
	}
	r := w.adopt(o)
	require.Equal(t, before, w.state())
	require.Contains(t, tablesOf(t, r), "Who and what there was")
	require.False(t, one[bool](t, w.tool.legacy, stagePassed, "adopt"), "a plan is no stage")

	o.Plan = false
	w.adopt(o)
	require.Equal(t, w.registry.known.workspaces[madeID("Loose")].id, w.registry.known.tenants[21].workspaceID)
	require.Equal(t, w.registry.known.workspaces[1].id, w.registry.known.tenants[20].workspaceID)
}

func TestAdoptingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Rows: 300, Linked: 50, LooseTenants: true})
	all := map[int64]string{}
	for _, id := range workspaceIDs(t, w) {
		all[id] = "1"
	}
	all[madeID("Loose")] = "1"
	w.adopt(AdoptOptions{Owners: all, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"}})
	once := w.state()
	w.open()
	w.adopt(AdoptOptions{Owners: all, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"}})
	require.Equal(t, once, w.state(), "told the same")
	w.adopt(AdoptOptions{})
	require.Equal(t, once, w.state(), "what was told once is remembered")
}

func workspaceIDs(t *testing.T, w *stages) []int64 {
	t.Helper()
	rows, err := w.tool.legacy.Query(t.Context(), "select id from workspaces order by id")
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return ids
}

func TestAdoptBringsWhatWasMadeMeanwhile(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	w.adopt(AdoptOptions{Owners: owners})
	w.exec("insert into tenants (id, name, external_id, workspace_id) values (9, 'New', '11111111-1111-4111-8111-000000000009', 4)")
	w.exec(`insert into operation_runs (id, workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, context, created_at)
		values (9001, 4, 9, 'system', 'inventory.sync', 'completed', 'succeeded', repeat('a', 64), '{"inputs": {"selection_hash": "s"}}', now())`)
	w.exec("update operation_runs set status = 'completed', outcome = 'succeeded', completed_at = now() where id = 20")
	w.adopt(AdoptOptions{})

	tenant := w.registry.known.tenants[9].id
	require.Equal(t, tenant, one[int64](t, w.tool.target, "select tenant_id from operation_runs where id = 9001"))
	require.Equal(t, fmt.Sprintf("%d|inventory_sync|s", tenant), one[string](t, w.tool.target,
		"select $1 from operation_runs where id = 9001 and run_identity_hash = sha256($1::text::bytea)", fmt.Sprintf("%d|inventory_sync|s", tenant)))
	require.Equal(t, "completed", one[string](t, w.tool.target, "select status from operation_runs where id = 20"))
}

func TestCollidingIDsDemandAnOffset(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	live(t, w, 8, 77)
	said := w.refused(AdoptOptions{Owners: owners})
	require.Contains(t, said, "1 runs have ids between 1 and")
	require.Contains(t, said, "--id-offset 2000000")
	require.Contains(t, w.refused(AdoptOptions{Owners: owners, IDOffset: 1000}), "is less than the ids that rows may have")
	require.Empty(t, w.registry.known.workspaces, "nothing was written")
	live(t, w, 2_000_009, 77)
	require.Contains(t, w.refused(AdoptOptions{Owners: owners, IDOffset: 2_000_000}), "--id-offset 3000000")

	w.adopt(AdoptOptions{Owners: owners, IDOffset: 3_000_000})
	require.Equal(t, "3000007", one[string](t, w.tool.target, "select id::text from operation_runs where context -> 'legacy' ->> 'id' = '7'"))
	require.Equal(t, "live", one[string](t, w.tool.target, "select origin from operation_runs where id = 8"))
	require.Contains(t, w.refused(AdoptOptions{IDOffset: 4_000_000}), "the offset 3000000 before")
	once := w.state()
	w.adopt(AdoptOptions{})
	w.adopt(AdoptOptions{IDOffset: 3_000_000})
	require.Equal(t, once, w.state())

	tenant := w.registry.known.tenants[6].id
	require.Equal(t, fmt.Sprintf("%d|drift_generate_findings|3000013:3000014", tenant), one[string](t, w.tool.target,
		"select $1 from operation_runs where id = 3000012 and run_identity_hash = sha256($1::text::bytea)",
		fmt.Sprintf("%d|drift_generate_findings|3000013:3000014", tenant)), "ids of runs in an identity move along")
}

// In an older context baseline_run_id and current_run_id are rows of inventory_sync_runs.
func TestRowsThatDriftRunsComparedAreNotTakenForRuns(t *testing.T) {
	t.Parallel()
	for _, offset := range []int64{0, 3_000_000} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			t.Parallel()
			w := newStages(t, awkward)
			w.done(w.tool.Adopt(t.Context(), AdoptOptions{Owners: w.owners(), IDOffset: offset}))
			for id, want := range map[int64]string{
				11: `{"baseline_run_id": 3, "current_run_id": 70}`,
				12: fmt.Sprintf(`{"baseline_run_id": 60, "baseline_operation_run_id": %d, "current_run_id": 61, "current_operation_run_id": "%d"}`, offset+13, offset+14),
			} {
				require.JSONEq(t, want, one[string](t, w.tool.target, "select (context -> 'inputs')::text from operation_runs where id = $1", offset+id))
			}
			require.Equal(t, one[string](t, w.tool.legacy, "select run_identity_hash from operation_runs where id = 11"),
				one[string](t, w.tool.target, "select encode(run_identity_hash, 'hex') from operation_runs where id = $1 and context #> '{legacy,notes}' ? 'hash_kept'", offset+11))
			labels := "select coalesce(string_agg(key || '=' || value, ' ' order by key), '') from run_label where run_id = $1"
			require.Empty(t, one[string](t, w.tool.target, labels, offset+11))
			require.Equal(t, fmt.Sprintf("baseline_run_id=%d current_run_id=%d", offset+13, offset+14), one[string](t, w.tool.target, labels, offset+12))
			w.do("backfill")
			w.do("verify")
		})
	}
}

func TestWhatDoesNotFitIsKeptBesideWhatDoes(t *testing.T) {
	t.Parallel()
	w := newStages(t, awkward)
	w.do("adopt")
	for id, want := range map[int64][3]string{ // failures, counts, and what is kept of both
		57: {`[]`, `{}`, `[[[{"code": "nested"}]], {"total": true}]`},
		59: {
			`[{"code": "x", "reason_code": "y", "message": "z", "item": "policy-1", "retryable": true, "remediation": "Wait.", "request_id": "r1"}]`,
			`{"total": 2}`, `[null, null]`,
		},
		60: {
			`[{"code": "x", "reason_code": "unknown", "message": "", "request_id": ""}, {"code": "unknown", "reason_code": "unknown", "message": ""}]`, `{}`,
			`[[{"code": "x", "reason_code": "", "item": 7, "retryable": "yes", "request_id": "", "http_status": 429, "message": null}, {}, []],
				{"total": null, "failed": {"n": null}}]`,
		},
	} {
		for i, column := range []string{
			"failure_summary", "summary_counts", "jsonb_build_array(context #> '{legacy,failure_summary}', context #> '{legacy,summary_counts}')",
		} {
			require.JSONEq(t, want[i], one[string](t, w.tool.target, "select ("+column+")::text from operation_runs where id = $1", id), "run %d: %s", id, column)
		}
	}
}

// live makes a run of this installation.
func live(t *testing.T, w *stages, id, workspace int64) {
	t.Helper()
	w.execRuns(`insert into operation_runs (id, workspace_id, initiator_name, type, status, outcome, run_identity_hash, max_attempts, queued_at)
		values ($1, $2, 'Ada Byron', 'inventory_sync', 'queued', 'pending', sha256($1::bigint::text::bytea), 3, now())`, id, workspace)
}

func TestALiveRunAboveTheRowsBoundsTheirIDs(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	last := one[int64](t, w.tool.legacy, "select max(id) from operation_runs")
	live(t, w, last+2, 77)
	w.adopt(AdoptOptions{Owners: owners})
	require.Equal(t, last+1, one[int64](t, w.tool.target, "select last_legacy_id from takeover_block where source = 'operation_runs'"))
	w.exec(`insert into operation_runs (id, workspace_id, initiator_name, type, run_identity_hash) values ($1, 4, '', 'inventory.sync', 'x')`, last+2)
	require.Contains(t, w.refused(AdoptOptions{}), fmt.Sprintf("operation_runs has row %d, and ids up to row %d", last+2, last+1))
}

func TestAnUnknownTypeStopsUntilItIsDecided(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		said string
		want string // what fails
		runs int64
	}{
		"not decided":          {said: "", want: "undecided: policy.export"},
		"no canonical type":    {said: "policy_export", want: "policy.export=policy_export names no canonical type"},
		"left in the archive":  {said: archive, runs: 0},
		"becomes another type": {said: "backup_verify", runs: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStages(t, fixture.Options{UnknownType: true})
			o := AdoptOptions{Owners: owners, TypeMap: map[string]string{"inventory.sync": "inventory_sync", "typo": archive}}
			if tt.said != "" {
				o.TypeMap["policy.export"] = tt.said
			}
			if tt.want != "" {
				require.Contains(t, w.refused(o), tt.want)
				require.Zero(t, one[int64](t, w.tool.target, "select count(*) from operation_runs"))
				return
			}
			require.Equal(t, []string{"typo"}, finding(w.adopt(o), "unused_type_map", "").Samples)
			require.Equal(t, tt.runs, one[int64](t, w.tool.target, "select count(*) from operation_runs where id in (90, 91)"))
			require.Positive(t, one[int64](t, w.tool.target, "select count(*) from operation_runs"))
			w.adopt(AdoptOptions{})
			require.Contains(t, w.refused(AdoptOptions{TypeMap: map[string]string{"policy.export": "tenant_connection_check"}}), "roll adopt back")
		})
	}
}

func TestCallsThatFailAreMadeAgain(t *testing.T) {
	t.Parallel()
	sound := newStages(t, fixture.Options{})
	sound.adopt(AdoptOptions{Owners: owners})
	for _, method := range []string{"ImportWorkspaces", "ImportUsers", "ImportTenants", "ImportMembers"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newStages(t, fixture.Options{})
			svc, client := w.registry.serve(t)
			w.tool.tenancy = client
			svc.FailCall(2, method, errs.Exhausted("BUSY", time.Second, "not now")) // the first only asks
			_, err := w.tool.Adopt(t.Context(), AdoptOptions{Owners: owners})
			require.ErrorContains(t, err, "not now")
			require.Zero(t, one[int64](t, w.tool.target, "select count(*) from operation_runs"))
			w.adopt(AdoptOptions{Owners: owners})
			require.Equal(t, fmt.Sprint(sound.registry.known), fmt.Sprint(w.registry.known))
		})
	}
}

// Whoever starts runs while ids are set aside gets one beyond them, and none is lost.
func TestLiveRunsStartWhileIDsAreSetAside(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	st := store.New(w.tool.target, run.DefaultTypes())
	typ := run.DefaultTypes()["inventory_sync"]
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type starts struct {
		ids []int64
		err error
	}
	ended := make(chan starts)
	for worker := range 4 {
		go func() {
			var s starts
			for n := 0; ctx.Err() == nil && s.err == nil; n++ {
				var made store.Started
				made, s.err = st.Start(t.Context(), run.Start{
					WorkspaceID: 77, InitiatorName: "Ada Byron", Type: typ, Caller: "inventory", IdentityInputs: fmt.Sprintf("%d-%d", worker, n), Context: []byte("{}"),
				})
				if s.err == nil {
					s.ids = append(s.ids, made.Run.ID)
				}
			}
			ended <- s
		}()
	}
	require.Eventually(t, func() bool { return one[int64](t, w.tool.target, "select count(*) from operation_runs") > 200 }, 20*time.Second, time.Millisecond)
	w.adopt(AdoptOptions{Owners: owners, IDOffset: 50_000_000})
	stop()
	var all int
	for range 4 {
		s := <-ended
		require.NoError(t, s.err)
		all += len(s.ids)
		for _, id := range s.ids {
			require.Zero(t, one[int64](t, w.tool.target, "select count(*) from takeover_block where $1 > base and $1 <= base + last_legacy_id", id), id)
		}
	}
	require.Equal(t, int64(all), one[int64](t, w.tool.target, "select count(*) from operation_runs where origin = 'live'"))
}

func TestReportsAreWritten(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	w.adopt(AdoptOptions{Owners: owners, Timezone: "UTC"})
	files, err := filepath.Glob(filepath.Join(w.tool.cfg.Reports, "*-adopt.*"))
	require.NoError(t, err)
	require.Len(t, files, 2)
}

package adopt_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestAdoptKeepsIDsWhereTheyAreFree(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	w.ExecRuns("select setval('operation_runs_id_seq', 10000)") // as bootstrap reserves them
	before := takeovertest.One[int64](t, w.Legacy, "select count(*) from operation_runs")
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})

	require.Equal(t, before, takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs where origin = 'legacy' and id < 10000"))
	require.Equal(t, before, takeovertest.One[int64](t, w.Operations,
		"select count(*) from operation_runs where context -> 'legacy' ->> 'id' = id::text and context -> 'legacy' ->> 'source' = 'operation_runs'"))
	end := takeovertest.One[int64](t, w.Operations, "select max(base + last_legacy_id) from takeover_block")
	require.Equal(t, end+1, takeovertest.One[int64](t, w.Operations, "select nextval('operation_runs_id_seq')"))
	require.Equal(t, int64(5), takeovertest.One[int64](t, w.Legacy, "select count(*) from tenantpilot_takeover.run_block"))
	require.Zero(t, takeovertest.One[int64](t, w.Operations, `select count(*) from takeover_block x join takeover_block y
		on x.source < y.source and x.base < y.base + y.last_legacy_id and y.base < x.base + x.last_legacy_id`), "blocks overlap")
}

func TestAdoptPlansWithoutChangingAnything(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Memberships: true, UnknownType: true, LooseTenants: true})
	before := w.State()
	for _, o := range []adopt.Options{
		{},
		{TypeMap: map[string]string{"policy.export": legacy.Archive}, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"}, Owners: map[int64]string{2: "3"}, Timezone: "Europe/Berlin"},
	} {
		o.Plan = true
		_, err := adopt.Run(t.Context(), w.Ledger, w.Tenancy, o)
		require.ErrorIs(t, err, report.ErrNotPassed, "the workspace to make has no owner yet")
		require.Equal(t, before, w.State())
	}
	o := adopt.Options{
		Plan: true, TypeMap: map[string]string{"policy.export": legacy.Archive}, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"},
		Owners: map[int64]string{2: "3", adopt.MadeID("Loose"): "1"},
	}
	r := w.Adopt(o)
	require.Equal(t, before, w.State())
	require.Contains(t, takeovertest.TablesOf(t, r), "Workspaces, users, tenants and members")
	passed, err := w.Passed(t.Context(), "adopt")
	require.NoError(t, err)
	require.False(t, passed, "a plan is no stage")

	o.Plan = false
	w.Adopt(o)
	require.Equal(t, w.Registry.Known.Workspaces[adopt.MadeID("Loose")].ID, w.Registry.Known.Tenants[21].WorkspaceID)
	require.Equal(t, w.Registry.Known.Workspaces[1].ID, w.Registry.Known.Tenants[20].WorkspaceID)
}

func TestAdoptingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Rows: 300, Linked: 50, LooseTenants: true})
	all := map[int64]string{}
	for _, id := range workspaceIDs(t, w) {
		all[id] = "1"
	}
	all[adopt.MadeID("Loose")] = "1"
	w.Adopt(adopt.Options{Owners: all, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"}})
	once := w.State()
	w.Open()
	w.Adopt(adopt.Options{Owners: all, WorkspaceMap: map[int64]string{20: "1", 21: "Loose"}})
	require.Equal(t, once, w.State(), "with the same options")
	w.Adopt(adopt.Options{})
	require.Equal(t, once, w.State(), "options given once are remembered")
}

func workspaceIDs(t *testing.T, w *takeovertest.Takeover) []int64 {
	t.Helper()
	rows, err := w.Legacy.Query(t.Context(), "select id from workspaces order by id")
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return ids
}

func TestAdoptBringsWhatWasMadeMeanwhile(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	w.Exec("insert into tenants (id, name, external_id, workspace_id) values (9, 'New', '11111111-1111-4111-8111-000000000009', 4)")
	w.Exec(`insert into operation_runs (id, workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, context, created_at)
		values (9001, 4, 9, 'system', 'inventory.sync', 'completed', 'succeeded', repeat('a', 64), '{"inputs": {"selection_hash": "s"}}', now())`)
	w.Exec("update operation_runs set status = 'completed', outcome = 'succeeded', completed_at = now() where id = 20")
	w.Adopt(adopt.Options{})

	tenant := w.Registry.Known.Tenants[9].ID
	require.Equal(t, tenant, takeovertest.One[int64](t, w.Operations, "select tenant_id from operation_runs where id = 9001"))
	require.Equal(t, fmt.Sprintf("%d|inventory_sync|s", tenant), takeovertest.One[string](t, w.Operations,
		"select $1 from operation_runs where id = 9001 and run_identity_hash = sha256($1::text::bytea)", fmt.Sprintf("%d|inventory_sync|s", tenant)))
	require.Equal(t, "completed", takeovertest.One[string](t, w.Operations, "select status from operation_runs where id = 20"))
}

func TestCollidingIDsDemandAnOffset(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	live(t, w, 8, 77)
	said := w.Refused(adopt.Options{Owners: takeovertest.AwkwardOwners})
	require.Contains(t, said, "1 runs have ids between 1 and")
	require.Contains(t, said, "--id-offset 2000000")
	require.Contains(t, w.Refused(adopt.Options{Owners: takeovertest.AwkwardOwners, IDOffset: 1000}), "is less than the ids that rows may have")
	require.Empty(t, w.Registry.Known.Workspaces, "nothing was written")
	live(t, w, 2_000_009, 77)
	require.Contains(t, w.Refused(adopt.Options{Owners: takeovertest.AwkwardOwners, IDOffset: 2_000_000}), "--id-offset 3000000")

	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners, IDOffset: 3_000_000})
	require.Equal(t, "3000007", takeovertest.One[string](t, w.Operations, "select id::text from operation_runs where context -> 'legacy' ->> 'id' = '7'"))
	require.Equal(t, "live", takeovertest.One[string](t, w.Operations, "select origin from operation_runs where id = 8"))
	require.Contains(t, w.Refused(adopt.Options{IDOffset: 4_000_000}), "the offset 3000000 before")
	once := w.State()
	w.Adopt(adopt.Options{})
	w.Adopt(adopt.Options{IDOffset: 3_000_000})
	require.Equal(t, once, w.State())

	tenant := w.Registry.Known.Tenants[6].ID
	require.Equal(t, fmt.Sprintf("%d|drift_generate_findings|3000013:3000014", tenant), takeovertest.One[string](t, w.Operations,
		"select $1 from operation_runs where id = 3000012 and run_identity_hash = sha256($1::text::bytea)",
		fmt.Sprintf("%d|drift_generate_findings|3000013:3000014", tenant)), "ids of runs in an identity move along")
}

// In an older context, baseline_run_id and current_run_id are ids of inventory_sync_runs.
func TestRowsThatDriftRunsComparedAreNotTakenForRuns(t *testing.T) {
	t.Parallel()
	for _, offset := range []int64{0, 3_000_000} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			t.Parallel()
			w := takeovertest.New(t, takeovertest.Awkward)
			w.Done(adopt.Run(t.Context(), w.Ledger, w.Tenancy, adopt.Options{Owners: w.Owners(), IDOffset: offset}))
			for id, want := range map[int64]string{
				11: `{"baseline_run_id": 3, "current_run_id": 70}`,
				12: fmt.Sprintf(`{"baseline_run_id": 60, "baseline_operation_run_id": %d, "current_run_id": 61, "current_operation_run_id": "%d"}`, offset+13, offset+14),
			} {
				require.JSONEq(t, want, takeovertest.One[string](t, w.Operations, "select (context -> 'inputs')::text from operation_runs where id = $1", offset+id))
			}
			require.Equal(t, takeovertest.One[string](t, w.Legacy, "select run_identity_hash from operation_runs where id = 11"),
				takeovertest.One[string](t, w.Operations, "select encode(run_identity_hash, 'hex') from operation_runs where id = $1 and context #> '{legacy,notes}' ? 'hash_kept'", offset+11))
			labels := "select coalesce(string_agg(key || '=' || value, ' ' order by key), '') from run_label where run_id = $1"
			require.Empty(t, takeovertest.One[string](t, w.Operations, labels, offset+11))
			require.Equal(t, fmt.Sprintf("baseline_run_id=%d current_run_id=%d", offset+13, offset+14), takeovertest.One[string](t, w.Operations, labels, offset+12))
			w.Do("backfill")
			w.Do("verify")
		})
	}
}

func TestWhatDoesNotFitIsKeptBesideWhatDoes(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, takeovertest.Awkward)
	w.Do("adopt")
	for id, want := range map[int64][3]string{ // failure_summary, summary_counts, and what is kept of both
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
			require.JSONEq(t, want[i], takeovertest.One[string](t, w.Operations, "select ("+column+")::text from operation_runs where id = $1", id), "run %d: %s", id, column)
		}
	}
}

// live makes a live run.
func live(t *testing.T, w *takeovertest.Takeover, id, workspace int64) {
	t.Helper()
	w.ExecRuns(`insert into operation_runs (id, workspace_id, initiator_name, type, status, outcome, run_identity_hash, max_attempts, queued_at)
		values ($1, $2, 'Ada Byron', 'inventory_sync', 'queued', 'pending', sha256($1::bigint::text::bytea), 3, now())`, id, workspace)
}

func TestALiveRunAboveTheRowsBoundsTheirIDs(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	last := takeovertest.One[int64](t, w.Legacy, "select max(id) from operation_runs")
	live(t, w, last+2, 77)
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	require.Equal(t, last+1, takeovertest.One[int64](t, w.Operations, "select last_legacy_id from takeover_block where source = 'operation_runs'"))
	w.Exec(`insert into operation_runs (id, workspace_id, initiator_name, type, run_identity_hash) values ($1, 4, '', 'inventory.sync', 'x')`, last+2)
	require.Contains(t, w.Refused(adopt.Options{}), fmt.Sprintf("operation_runs has row %d, and ids up to row %d", last+2, last+1))
}

func TestAnUnknownTypeStopsUntilItIsDecided(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		said string
		want string // the check that fails
		runs int64
	}{
		"not decided":          {said: "", want: "undecided: policy.export"},
		"no canonical type":    {said: "policy_export", want: "policy.export=policy_export names no canonical type"},
		"left in the archive":  {said: legacy.Archive, runs: 0},
		"becomes another type": {said: "backup_verify", runs: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := takeovertest.New(t, fixture.Options{UnknownType: true})
			o := adopt.Options{Owners: takeovertest.AwkwardOwners, TypeMap: map[string]string{"inventory.sync": "inventory_sync", "typo": legacy.Archive}}
			if tt.said != "" {
				o.TypeMap["policy.export"] = tt.said
			}
			if tt.want != "" {
				require.Contains(t, w.Refused(o), tt.want)
				require.Zero(t, takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs"))
				return
			}
			require.Equal(t, []string{"typo"}, takeovertest.Finding(w.Adopt(o), "unused_type_map", "").Samples)
			require.Equal(t, tt.runs, takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs where id in (90, 91)"))
			require.Positive(t, takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs"))
			w.Adopt(adopt.Options{})
			require.Contains(t, w.Refused(adopt.Options{TypeMap: map[string]string{"policy.export": "tenant_connection_check"}}), "roll adopt back")
		})
	}
}

func TestCallsThatFailAreMadeAgain(t *testing.T) {
	t.Parallel()
	sound := takeovertest.New(t, fixture.Options{})
	sound.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	for _, method := range []string{"ImportWorkspaces", "ImportUsers", "ImportTenants", "ImportMembers"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := takeovertest.New(t, fixture.Options{})
			svc, client := w.Registry.Serve(t)
			w.Tenancy = client
			svc.FailCall(2, method, errs.Exhausted("BUSY", time.Second, "not now")) // the first call only validates
			_, err := adopt.Run(t.Context(), w.Ledger, w.Tenancy, adopt.Options{Owners: takeovertest.AwkwardOwners})
			require.ErrorContains(t, err, "not now")
			require.Zero(t, takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs"))
			w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
			require.Equal(t, fmt.Sprint(sound.Registry.Known), fmt.Sprint(w.Registry.Known))
		})
	}
}

// A run that starts while ids are reserved gets an id beyond them, and none is lost.
func TestLiveRunsStartWhileIDsAreSetAside(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	st := store.New(w.Operations, run.DefaultTypes())
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
				var made store.StartResult
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
	require.Eventually(t, func() bool {
		return takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs") > 200
	}, 20*time.Second, time.Millisecond)
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners, IDOffset: 50_000_000})
	stop()
	var all int
	for range 4 {
		s := <-ended
		require.NoError(t, s.err)
		all += len(s.ids)
		for _, id := range s.ids {
			require.Zero(t, takeovertest.One[int64](t, w.Operations, "select count(*) from takeover_block where $1 > base and $1 <= base + last_legacy_id", id), id)
		}
	}
	require.Equal(t, int64(all), takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs where origin = 'live'"))
}

func TestReportsAreWritten(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners, Timezone: "UTC"})
	files, err := filepath.Glob(filepath.Join(w.Reports(), "*-adopt.*"))
	require.NoError(t, err)
	require.Len(t, files, 2)
}

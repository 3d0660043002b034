package verify_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

func TestVerifySeesEveryFieldOfARun(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("verify")
	for _, set := range []string{
		"workspace_id = workspace_id + 1", "tenant_id = null", "tenant_id = tenant_id + 1", "user_id = coalesce(user_id, 0) + 1",
		"initiator_name = initiator_name || ' '", "type = 'backup_verify'", "status = 'running', outcome = 'pending', completed_at = null",
		"outcome = 'cancelled'", "run_identity_hash = sha256('x')",
		`summary_counts = '{}'`, `summary_counts = jsonb_set(summary_counts, '{total}', '1.5')`, `summary_counts = summary_counts || '{"more": 1}'`,
		`failure_summary = '[{"code": "x"}]'`, `failure_summary = '["x"]'`,
		`context = '{}'`, `context = context || '{"more": 1}'`, `context = jsonb_set(context, '{inputs,selection_hash}', '"x"')`,
		`context = jsonb_set(context, '{legacy,id}', '4')`, `context = jsonb_set(context, '{legacy,source}', '"restore_runs"')`,
		`context = jsonb_set(context, '{legacy,status}', '"failed"')`,
		"started_at = started_at + interval '1 microsecond'", "completed_at = completed_at - interval '1 microsecond'",
		"created_at = created_at + interval '1 second'", "updated_at = updated_at + interval '1 second'", "origin = 'live'",
		"queued_at = now()", "lease_epoch = 1", "attempt = 1", "max_attempts = 2", "retry_of = 1, retry_number = 1", "parent_run_id = 1",
		"traceparent = 'x'", "event_count = 2", "completion_digest = 'x'", "cancel_reason = 'x'",
	} {
		restore := takeovertest.Tamper(t, s.Operations, "operation_runs", s.RunOf(legacy.SyncRuns, s.RowOf(legacy.SyncRuns)), set)
		require.NotEmpty(t, s.Fails(set), set)
		restore()
	}
	s.Do("verify")
}

const (
	otherTenant = "tenant_id = case tenant_id when 1 then 2 else 1 end"
	otherUser   = "user_id = (select min(u.id) from users u where u.id is distinct from user_id)"
)

func TestVerifySeesEveryFieldOfARow(t *testing.T) {
	t.Parallel()
	times := []string{
		"started_at = started_at + interval '1 second'", "created_at = created_at + interval '1 second'", "updated_at = updated_at + interval '1 second'",
	}
	for table, sets := range map[string][]string{
		legacy.SyncRuns: {
			otherTenant, otherUser, "selection_hash = 'x'", `selection_payload = '{"x": 1}'`, "status = 'failed'",
			`error_codes = '["x"]'`, "finished_at = finished_at + interval '1 second'", "items_observed_count = items_observed_count + 1",
			"items_upserted_count = items_upserted_count + 1", "errors_count = errors_count + 1", "operation_run_id = null", "operation_run_id = operation_run_id + 1",
		},
		"entra_group_sync_runs": {
			otherTenant, strings.ReplaceAll(otherUser, "user_id", "initiator_user_id"), "selection_key = 'x'", "slot_key = 'y'", "status = 'failed'",
			"error_code = 'x'", "error_code = 'x', error_category = 'y'", "error_code = 'x', error_summary = 'y'", "safety_stop_triggered = not safety_stop_triggered",
			"safety_stop_reason = 'x'", "pages_fetched = pages_fetched + 1", "items_observed_count = items_observed_count + 1",
			"items_upserted_count = items_upserted_count + 1", "error_count = error_count + 1", "finished_at = null", "operation_run_id = 1",
		},
		"backup_schedule_runs": {
			otherTenant, "backup_schedule_id = backup_schedule_id + 1", "scheduled_for = scheduled_for + interval '1 second'", "status = 'partial'",
			`summary = '{"total_policies": 7777}'`, `summary = '{"backed_up": 7777}'`, `summary = '{"errors": 7777}'`, "error_code = 'x'",
			"error_code = 'x', error_message = 'y'", "backup_set_id = 2", otherUser, "finished_at = null", "operation_run_id = null",
		},
		"restore_runs": {
			otherTenant, "backup_set_id = 2", "requested_by = 'x'", "is_dry_run = not is_dry_run", "status = 'Failed'", "status = 'Draft'",
			`results = '[{"ok": true}, {"ok": true}, {"ok": false}, {"ok": false}, {"ok": false}]'`, "failure_reason = 'x'", "deleted_at = now()", "completed_at = null", "operation_run_id = null",
		},
		legacy.CanonicalRuns: {
			otherTenant, otherUser, "initiator_name = 'x'", "type = 'backup_schedule.purge'", "status = 'running'",
			"outcome = 'failed'", `summary_counts = '{"x": 1}'`, `failure_summary = '["x"]'`, `context = '{"x": 1}'`, "completed_at = null", "workspace_id = 2",
		},
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.New(t, takeovertest.Awkward)
			s.UpTo("verify")
			for _, set := range append(sets, times...) {
				restore := takeovertest.Tamper(t, s.Legacy, table, s.RowOf(table), set)
				require.NotEmpty(t, s.Fails(set), set)
				restore()
			}
			s.Do("verify")
		})
	}
}

// The run of a linked row may have another status, but not another tenant or identity.
func TestVerifySeesThatALinkedRowIsOtherWorkThanItsRun(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("verify")
	for _, tt := range []struct {
		table, row string
		sets       []string
	}{
		{legacy.SyncRuns, "70", []string{otherTenant, "selection_hash = 'x'", "operation_run_id = 33", "operation_run_id = null"}},
		{"entra_group_sync_runs", "50", []string{otherTenant, "selection_key = 'x'", "slot_key = 'x'", "operation_run_id = 50"}},
		{"backup_schedule_runs", "80", []string{otherTenant, "backup_schedule_id = 2", "scheduled_for = scheduled_for + interval '1 second'"}},
		{"restore_runs", "100", []string{otherTenant}},
	} {
		require.Equal(t, "linked", s.Links(tt.table)[tt.row], tt.table)
		for _, set := range tt.sets {
			restore := takeovertest.Tamper(t, s.Legacy, tt.table, tt.row, set)
			require.NotEmpty(t, s.Fails(tt.table+": "+set))
			restore()
		}
	}
	s.Do("verify")
}

// wrong changes something that the takeover has left, and undoes that.
type wrong struct {
	legacy   bool // in the legacy database; else in the operations database
	do, undo string
	want     string // part of the check that does not hold
}

const guardOff, guardOn = "alter table operation_runs disable trigger user;", ";alter table operation_runs enable trigger user"

var wrongs = map[string]wrong{
	"a run is gone": {
		do:   guardOff + "create table kept as select * from operation_runs where id = {run}; delete from operation_runs where id = {run}" + guardOn,
		undo: guardOff + "insert into operation_runs select * from kept; drop table kept" + guardOn, want: "every row of inventory_sync_runs has its run",
	},
	"a run of no row": {
		do: guardOff + `create table kept as select * from operation_runs where id = {run}; update kept set id = id + 900000, context = jsonb_set(context, '{legacy,id}', '900000');
			insert into operation_runs select * from kept; drop table kept` + guardOn,
		undo: "delete from operation_runs where id = {run} + 900000", want: "every run made of inventory_sync_runs has its row",
	},
	"a run outside": {
		do: guardOff + `create table kept as select * from operation_runs where id = {run}; update kept set id = id + 90000000;
			insert into operation_runs select * from kept; drop table kept` + guardOn,
		undo: "delete from operation_runs where id = {run} + 90000000", want: "every imported run is where its row belongs",
	},
	"an event is gone": {
		do:   "create table kept as select * from run_event where run_id = {run}; delete from run_event where run_id = {run}",
		undo: "insert into run_event select * from kept; drop table kept", want: "every run has one event",
	},
	"an event that watchers see": {
		do: "update run_event set id = 7 where run_id = {run}", undo: "update run_event set id = null where run_id = {run}", want: "every run has one event",
	},
	"an event too much": {
		do:   "insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt) values ({run}, 2, 'x', 'x', 'completed', 'failed', 0, 0)",
		undo: "delete from run_event where run_id = {run} and sequence = 2", want: "every run has one event",
	},
	"a label is gone": {
		do:   "create table kept as select * from run_label where run_id = {run}; delete from run_label where run_id = {run}",
		undo: "insert into run_label select * from kept; drop table kept", want: "labels of run",
	},
	"a label is another": {
		do:   "update run_label set value = value || 'x' where run_id = {run} and key = 'selection_hash'",
		undo: "update run_label set value = left(value, -1) where run_id = {run} and key = 'selection_hash'", want: "labels of run",
	},
	"a sum is too high": {
		do:   "update run_stat set runs = runs + 1 where (workspace_id, start_at) in (select min(workspace_id), min(start_at) from run_stat)",
		undo: "update run_stat set runs = runs - 1 where (workspace_id, start_at) in (select min(workspace_id), min(start_at) from run_stat)", want: "the statistics",
	},
	"a sum is gone": {
		do:   "create table kept as select * from run_stat where grain = 'day' and measure = 'outcome'; delete from run_stat where grain = 'day' and measure = 'outcome'",
		undo: "insert into run_stat select * from kept; drop table kept", want: "the statistics",
	},
	"a row without a run": {
		legacy: true, want: "every row of inventory_sync_runs is settled",
		do:   "insert into inventory_sync_runs (id, tenant_id, selection_hash, status) values (900001, 1, 'x', 'failed')",
		undo: "delete from inventory_sync_runs where id = 900001",
	},
	"a canonical row without a run": {
		legacy: true, want: "every row of operation_runs has its run",
		do:   "insert into operation_runs (id, workspace_id, initiator_name, type, status, outcome, run_identity_hash) values (900001, 1, 'x', 'inventory.sync', 'completed', 'failed', 'x')",
		undo: "delete from operation_runs where id = 900001",
	},
	"a row is gone": {
		legacy: true, want: "every run made of inventory_sync_runs has its row",
		do: "alter table inventory_sync_runs disable trigger user; create table kept as select * from inventory_sync_runs where id = {row}; " +
			"create table kept_items as select id, last_seen_run_id from inventory_items where last_seen_run_id = {row}; " +
			"create table kept_findings as select id, baseline_run_id, current_run_id from findings where {row} in (baseline_run_id, current_run_id); " +
			"delete from inventory_sync_runs where id = {row}",
		undo: "insert into inventory_sync_runs select * from kept; update inventory_items i set last_seen_run_id = k.last_seen_run_id from kept_items k where k.id = i.id; " +
			"update findings f set baseline_run_id = k.baseline_run_id, current_run_id = k.current_run_id from kept_findings k where k.id = f.id; " +
			"drop table kept, kept_items, kept_findings; alter table inventory_sync_runs enable trigger user",
	},
}

func TestVerifySeesWhatIsMissingAndWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("verify")
	row := s.RowOf(legacy.SyncRuns)
	in := strings.NewReplacer("{run}", s.RunOf(legacy.SyncRuns, row), "{row}", row)
	for name, tt := range wrongs {
		db := s.Operations
		if tt.legacy {
			db = s.Legacy
		}
		_, err := db.Exec(t.Context(), in.Replace(tt.do))
		require.NoError(t, err, name)
		require.Contains(t, s.Fails(name), tt.want, name)
		_, err = db.Exec(t.Context(), in.Replace(tt.undo))
		require.NoError(t, err, name)
	}
	s.Do("verify")
}

// The views that wrote the runs may also be wrong about which rows become runs.
func TestVerifyAsksTheMappingWhichRowsBecomeRuns(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("verify")
	s.Exec(`create or replace function tenantpilot_takeover.link(bridge bigint, own_id bigint, wizard boolean, found text, wanted text, ours boolean, earlier boolean)
		returns text language sql stable as $$
		select case when bridge = own_id then 'imported' when found = wanted and not earlier then 'linked' else 'wizard' end $$`)
	s.Exec("insert into restore_runs (id, tenant_id, backup_set_id, requested_by, status, created_at) values (900001, 1, 1, 'x', 'failed', now())")
	require.Contains(t, s.Fails("a row that the view takes for a draft"), "every field of the runs made of restore_runs is right")
}

func TestVerifyComparesASampleOfEveryTable(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("backfill")
	r := s.Done(verify.Run(t.Context(), s.Ledger, verify.Options{Sample: 10}))
	for _, table := range legacy.Sources {
		found := false
		for _, c := range r.Checks {
			found = found || strings.Contains(c.Name, "every field of the runs made of "+table) && !strings.HasPrefix(c.Detail, "0 runs")
		}
		require.True(t, found, table)
	}
}

func TestVerifyNotesRunsThatRowsReferToInVain(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("backfill")
	s.Exec("update inventory_items set last_seen_operation_run_id = 777777 where id = 1")
	r := s.Do("verify")
	require.Equal(t, "{777777}", takeovertest.Value(t, s.Legacy, "select array_agg(run_id) from tenantpilot_takeover.missing_run"))
	require.Equal(t, "missing_run", r.Findings[len(r.Findings)-1].Code)
	s.Do("repoint")
	require.Equal(t, "null", takeovertest.Value(t, s.Legacy, "select last_seen_operation_run_id from inventory_items where id = 1"))
	s.Do("verify")
	s.Exec("update inventory_items set last_seen_operation_run_id = 777777 where id = 1")
	require.Contains(t, s.Fails("a reference to nothing"), "every inventory_items.last_seen_operation_run_id is a run that exists")
}

package backfill_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

func TestEveryRowGetsOneRun(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	for _, source := range legacy.Bridged {
		require.Equal(t, "0", takeovertest.Value(t, s.Legacy, legacy.In(source, "select count(*) from tenantpilot_takeover.link_{source} where link not in ('imported', 'linked', 'wizard')")), source)
		require.Equal(t, "0", takeovertest.Value(t, s.Legacy, legacy.In(source, "select count(operation_run_id) - count(distinct operation_run_id) from {source}")), source)
	}
	s.Do("verify")
}

func TestBackfillingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]backfill.Options{
		"import":   {History: "import", StaleAfter: takeovertest.Day},
		"link":     {History: "link", StaleAfter: takeovertest.Day},
		"cut over": {History: "import", CutOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.Adopted(t, 50_000_000)
			s.Backfill(o)
			legacy, target := s.LegacyPortrait(), s.TargetPortrait()
			for range 2 {
				r := s.Backfill(o)
				takeovertest.SameLines(t, legacy, s.LegacyPortrait())
				takeovertest.SameLines(t, target, s.TargetPortrait())
				for _, row := range r.Tables[0].Rows {
					require.Equal(t, []any{int64(0), int64(0), int64(0)}, row[2:], "%v", row)
				}
			}
		})
	}
}

func TestStatisticsOfImportedRunsAreARecount(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	s.Exec("update inventory_sync_runs set status = 'failed', error_codes = '[\"a\", \"b\"]' where id % 3 = 0") // their runs are replaced, so that the statistics subtract the old ones
	s.Exec("delete from restore_runs where id % 5 = 0")
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	const sums = `select count(*) from (
		select workspace_id, 'hour' as grain, measure, date_trunc('hour', completed_at, 'UTC') as start_at, type, key, count(*) as runs from run_measure group by 1, 2, 3, 4, 5, 6
		union all
		select workspace_id, 'day', measure, date_trunc('day', completed_at, 'UTC'), type, key, count(*) from run_measure group by 1, 2, 3, 4, 5, 6
	) m full join run_stat s using (workspace_id, grain, measure, start_at, type, key)`
	require.Equal(t, "0", takeovertest.Value(t, s.Operations, sums+" where m.runs is distinct from s.runs"))
	require.NotEqual(t, "0", takeovertest.Value(t, s.Operations, sums))
}

func TestLabelsOfImportedRunsAreThoseOfLiveOnes(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Exec(`insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, context)
		select 1, 1, 'x', 'restore.execute', 'completed', 'succeeded', '', doc::jsonb from unnest(array[
			'{"restore_run_id": 5, "inputs": {"restore_run_id": 6, "backup_set_id": "7"}}', '{"restore_run_id": null, "inputs": {"restore_run_id": 6}}',
			'{"restore_run_id": true, "backup_set_id": 1.50}', '{"restore_run_id": "", "backup_set_id": [1]}', '{"inputs": "text"}', '{"inputs": {"backup_set_id": 1e3}}',
			'{"restore_run_id": "' || repeat('ß', 128) || '", "backup_set_id": "' || repeat('ß', 129) || '"}']) doc`)
	s.Do("adopt")
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	// Contexts of older drift runs hold their search keys under other names.
	rows, err := s.Operations.Query(t.Context(), `select r.id, r.type, r.context::text,
		coalesce((select jsonb_object_agg(key, value) from run_label b where b.run_id = r.id and b.workspace_id = r.workspace_id
			and b.created_at = r.created_at and key <> 'run.reason_code'), '{}') from operation_runs r where r.type <> 'drift_generate_findings'`)
	require.NoError(t, err)
	var id int64
	var typ, ctx string
	var labels map[string]string
	labelled := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &typ, &ctx, &labels}, func() error {
		want := run.Start{Type: run.DefaultTypes()[typ], Context: json.RawMessage(ctx)}.Labels()
		require.Equal(t, len(want), len(labels), "run %d", id)
		for key, value := range want {
			require.Equal(t, value, labels[key], "run %d: %s", id, ctx)
			labelled++
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, labelled, 2000)
}

// told is a log that signals each line.
type told chan struct{}

func (c told) Write(line []byte) (int, error) {
	c <- struct{}{}
	return len(line), nil
}

// Backfill tries again until a writer has released its row.
func TestBackfillWaitsForARowThatAWriterHolds(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	var row int64
	require.NoError(t, s.Legacy.QueryRow(t.Context(), `update entra_group_sync_runs set operation_run_id = null
		where id = (select min(legacy_id) from tenantpilot_takeover.link_entra_group_sync_runs where link = 'imported') returning id`).Scan(&row))
	writer, err := s.Legacy.Begin(t.Context())
	require.NoError(t, err)
	_, err = writer.Exec(t.Context(), "select from entra_group_sync_runs where id = $1 for update", row)
	require.NoError(t, err)
	tries := make(told, 100)
	s.Log = slog.New(slog.NewTextHandler(tries, nil))
	ended := make(chan error, 1)
	go func() {
		_, err := backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "import", StaleAfter: takeovertest.Day})
		ended <- err
	}()
	for again := 2; again > 0; {
		select {
		case <-tries:
			again--
		case err := <-ended:
			require.NoError(t, writer.Rollback(t.Context()))
			require.NoError(t, err)
			require.Zero(t, again, "it did not wait")
		}
	}
	require.NoError(t, writer.Rollback(t.Context()))
	require.NoError(t, <-ended)
}

// The older installation makes, ends and deletes runs while they are taken over.
func TestBackfillWhileTheOlderInstallationGoesOn(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	stop, stopped := make(chan struct{}), sync.WaitGroup{}
	now := time.Now()
	steps := 0
	stopped.Go(func() {
		conn, err := pgx.Connect(t.Context(), s.LegacyURL)
		if err != nil {
			return
		}
		defer conn.Close(t.Context())
		for ; ; steps++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := fixture.Work(t.Context(), conn, now, steps); err != nil {
				t.Errorf("step %d: %v", steps, err)
				return
			}
		}
	})
	for range 3 {
		_, err := backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "import", StaleAfter: takeovertest.Day})
		if err != nil {
			require.ErrorIs(t, err, report.ErrNotPassed) // a row may be linked to a run that was made meanwhile
		}
	}
	close(stop)
	stopped.Wait()
	require.Positive(t, steps)
	s.Do("adopt")
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	s.Do("verify")
}

func TestHistoryIsDecidedOnce(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	_, err := backfill.Run(t.Context(), s.Ledger, backfill.Options{})
	require.ErrorContains(t, err, "neither import nor link")
	s.Backfill(backfill.Options{History: "link", StaleAfter: takeovertest.Day})
	_, err = backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	require.ErrorContains(t, err, "--history link was decided before")
	_, err = backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "link", Timezone: "Europe/Berlin"})
	require.ErrorContains(t, err, "--legacy-timezone was UTC")
	_, err = backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "link", StaleAfter: -1})
	require.ErrorContains(t, err, "--stale-after")
}

func TestRunsFollowTheirRows(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	for _, change := range []string{
		"update restore_runs set deleted_at = now() where id = 8",
		"update restore_runs set status = 'draft' where id = 9",
		"update users set name = 'Another' where id = 1",
		"delete from inventory_sync_runs where id = (select max(id) from inventory_sync_runs)",
		"update backup_schedule_runs set status = 'failed', finished_at = null where id = 10",
		"update entra_group_sync_runs set operation_run_id = null where id in (50, 10)",
		"update inventory_sync_runs set operation_run_id = (select max(id) from operation_runs where type like 'inventory_sync' and id not in (select operation_run_id from inventory_sync_runs where operation_run_id is not null)) where id = 10",
	} {
		s.Exec(change)
		s.Do("adopt")
		s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
		s.Do("verify")
	}
}

func TestWhatIsActiveIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	const active = "select count(*) from operation_runs where status <> 'completed'"
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	require.NotEqual(t, "0", takeovertest.Value(t, s.Operations, active))
	require.NotEqual(t, "0", takeovertest.Value(t, s.Operations, "select count(*) from operation_runs where context #>> '{legacy,notes}' like '%given_up_as_stale%'"))
	require.NotEqual(t, "0", takeovertest.Value(t, s.Operations, "select count(*) from workspace_hold where not starts_allowed"))
	s.Backfill(backfill.Options{History: "import", CutOver: true})
	require.Equal(t, "0", takeovertest.Value(t, s.Operations, active))
	require.Equal(t, "0", takeovertest.Value(t, s.Operations, "select count(*) from workspace_hold where not starts_allowed"))
	require.NotEqual(t, "null", takeovertest.Value(t, s.Legacy, "select cut_over_at from tenantpilot_takeover.takeover"))
	s.Do("verify")
	s.Exec("update inventory_sync_runs set status = 'running', finished_at = null where id = 10")
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	require.Equal(t, "0", takeovertest.Value(t, s.Operations, active), "after the cut-over nothing is active any more")
}

func TestARunOfAnotherInABlockStopsTheImport(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.ExecRuns(`insert into operation_runs (id, workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts)
		select base + 10, 5000, 'x', 'inventory_sync', 'queued', 'pending', sha256(''), now(), 1 from takeover_block where source = 'restore_runs'`)
	_, err := backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	require.ErrorContains(t, err, "taken by another")
}

func TestATableThatOutgrewItsBlockStopsTheImport(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Exec("update restore_runs set id = 9000000 where id = (select max(id) from restore_runs)")
	_, err := backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	require.ErrorContains(t, err, "has row 9000000")
}

// A row that is linked after it was copied, and before its run is written back.
func TestARowThatWasLinkedMeanwhileIsLeftToTheNextPass(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Exec(`update operation_runs set context = '{"inputs": {"restore_run_id": 8}}' where id = 9`)
	s.Do("adopt")
	c, err := transfer.Copy(t.Context(), s.Ledger, "restore_runs", ledger.Span{Until: 9})
	require.NoError(t, err)
	s.Exec("update restore_runs set operation_run_id = 9 where id = 8")
	require.NoError(t, backfill.WriteBack(t.Context(), s.Ledger, "restore_runs", ledger.Span{Until: 9}, c.Bridges))
	require.Equal(t, "9", takeovertest.Value(t, s.Legacy, "select operation_run_id from restore_runs where id = 8"))
	s.Exec("delete from tenantpilot_takeover.progress")
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	s.Do("verify")
}

func TestSpansCoverEveryRowAndABrokenPassGoesOn(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, fixture.Options{Rows: 50_000, Linked: 5, Tidy: true, Memberships: true})
	s.Do("adopt")
	spans, after := 0, int64(0)
	for sp, err := range s.Spans(t.Context(), "backup_schedule_runs", 0) {
		require.NoError(t, err)
		require.Equal(t, after, sp.After)
		spans, after = spans+1, sp.Until
	}
	require.Greater(t, spans, 2)
	s.ExecRuns(`create function fail() returns trigger language plpgsql as 'begin raise exception ''no more''; end'`)
	s.ExecRuns(strings.ReplaceAll(`create trigger fail before insert on operation_runs for each row when (new.id = {id}) execute function fail()`, "{id}",
		takeovertest.Value(t, s.Legacy, "select base + (select max(id) from backup_schedule_runs where operation_run_id is null) from tenantpilot_takeover.run_block where source = 'backup_schedule_runs'")))
	_, err := backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	require.ErrorContains(t, err, "no more")
	require.NotEqual(t, "null", takeovertest.Value(t, s.Legacy, "select last_id from tenantpilot_takeover.progress where source = 'backup_schedule_runs'"))
	s.ExecRuns("drop trigger fail on operation_runs")
	s.ExecRuns("drop function fail")
	s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
	s.Done(verify.Run(t.Context(), s.Ledger, verify.Options{Sample: 200}))
}

func TestDocumentsThatJSONBRefusesAreRepaired(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, fixture.Options{Tidy: true})
	for doc, want := range map[string]string{
		`{"a": 1}`:               `{"a": 1}`,
		`{"a": "\u0041"}`:        `{"a": "A"}`,
		`{"a": "x\u0000y"}`:      `{"a": "x` + "\uFFFD" + `y"}`,
		`{"a": "\ud800"}`:        `{"a": "` + "\uFFFD" + `"}`,
		`{"a": "\ud83d\ude00"}`:  `{"a": "😀"}`,
		`{"a": 1e3}`:             `{"a": 1000}`,
		`{"a": 1e999999}`:        `null`,
		`{"a": "\ude00 \u0000"}`: `{"a": "` + "\uFFFD \uFFFD" + `"}`,
	} {
		require.Equal(t, want, takeovertest.Value(t, s.Legacy, "select tenantpilot_takeover.document($1::text::json)::text", doc), doc)
		require.Equal(t, want, takeovertest.Value(t, s.Legacy, "select tenantpilot_takeover.document($1::text)::text", doc), doc)
	}
}

// A copy waits for a table that somebody has locked, but for no longer than the lock timeout
// at a time, so that nobody queues behind it for long.
func TestACopyWaitsForWhoeverHasTheTable(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	holder, err := pgx.Connect(t.Context(), s.LegacyURL)
	require.NoError(t, err)
	defer holder.Close(t.Context())
	tx, err := holder.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "lock table restore_runs in access exclusive mode")
	require.NoError(t, err)

	done := make(chan error, 1)
	go func() {
		_, err := transfer.Copy(t.Context(), s.Ledger, "restore_runs", ledger.Span{After: 0, Until: 5_000})
		done <- err
	}()
	waiting := func() bool {
		var n int
		const sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
		require.NoError(t, tx.QueryRow(t.Context(), sql).Scan(&n))
		return n > 0
	}
	require.Eventually(t, waiting, 10*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool { return !waiting() }, 10*time.Second, 20*time.Millisecond, "it gives up for a while")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-done)
}

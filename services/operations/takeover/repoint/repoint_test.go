package repoint_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/repoint"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

// wantReferences computes what repoint has to make of a reference, without its SQL.
func wantReferences(t *testing.T, s *takeovertest.Takeover, ref legacy.Reference, own map[int64]*int64, offset int64) map[int64]*int64 {
	t.Helper()
	bridges := s.Column(legacy.SyncRuns, "operation_run_id")
	want := map[int64]*int64{}
	for id, sync := range s.Column(ref.Table, ref.Old) {
		want[id] = nil
		if v := own[id]; v != nil {
			if moved := *v + offset; s.RunExists(&moved) {
				want[id] = &moved
			}
		}
		if sync != nil && s.RunExists(bridges[*sync]) {
			want[id] = bridges[*sync]
		}
	}
	return want
}

func text(v *int64) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(*v)
}

func sameReferences(t *testing.T, ref legacy.Reference, want, got map[int64]*int64) {
	t.Helper()
	require.Len(t, got, len(want))
	for id, v := range want {
		require.Equal(t, text(v), text(got[id]), "%s of row %d", ref, id)
	}
}

func TestRepointGoesThroughTheBridge(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]int64{"ids kept": 0, "ids moved": 10_000_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.New(t, takeovertest.Everything)
			own := s.Column("inventory_items", "last_seen_operation_run_id")
			s.Done(adopt.Run(t.Context(), s.Ledger, s.Tenancy, adopt.Options{Owners: s.Owners(), IDOffset: offset}))
			s.Do("backfill")
			s.Do("verify")
			lost := *s.Column(legacy.SyncRuns, "operation_run_id")[70]
			s.ExecRuns("delete from operation_runs where id = $1", lost)
			want := map[legacy.Reference]map[int64]*int64{}
			for _, ref := range legacy.References {
				if ref.Table == "findings" {
					own = nil
				}
				want[ref] = wantReferences(t, s, ref, own, offset)
				own = s.Column("inventory_items", "last_seen_operation_run_id")
			}
			for range 3 {
				s.Do("repoint")
				for ref, w := range want {
					sameReferences(t, ref, w, s.Column(ref.Table, ref.New))
					require.False(t, s.Has(ref.Table, ref.Old))
				}
			}
			var null, filled int
			for _, w := range want {
				for v := range maps.Values(w) {
					if v == nil {
						null++
					} else {
						filled++
					}
				}
			}
			require.Positive(t, null)
			require.Greater(t, filled, 10)
		})
	}
}

// A legacy database may have the new columns already, with a key and an index.
func TestRepointFillsAColumnThatIsThere(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Everything)
	s.Exec(`alter table findings add column baseline_operation_run_id bigint,
		add constraint findings_baseline_operation_run_id_foreign foreign key (baseline_operation_run_id) references operation_runs (id)`)
	s.Exec("create index on findings (baseline_operation_run_id)")
	s.Exec("comment on column findings.baseline_run_id is 'what it was compared with'")
	s.Exec("update findings set baseline_operation_run_id = 1 where id <> 2")
	before := s.LegacyPortrait()
	s.UpTo("repoint")
	bridge := *s.Column(legacy.SyncRuns, "operation_run_id")[3]
	require.Equal(t, bridge, *s.Column("findings", "baseline_operation_run_id")[2])
	s.Do("rollback to adopt")
	takeovertest.SameLines(t, before, s.LegacyPortrait())
}

func TestAPlannedRepointChangesNothing(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Everything)
	s.UpTo("verify")
	s.ExecRuns("delete from operation_runs where id = $1", *s.Column(legacy.SyncRuns, "operation_run_id")[70])
	before := s.LegacyPortrait()
	r := s.Done(repoint.Run(t.Context(), s.Ledger, repoint.Options{Plan: true}))
	require.Len(t, r.Tables, 2)
	takeovertest.SameLines(t, before, s.LegacyPortrait())

	s.Do("repoint")
	seen := map[string]bool{}
	for _, row := range r.Tables[1].Rows {
		ref := legacy.References[slices.IndexFunc(legacy.References, func(ref legacy.Reference) bool { return ref.String() == row[0] })]
		id, ok := row[1].(int64)
		require.True(t, ok)
		require.Equal(t, row[3], strings.Replace(text(s.Column(ref.Table, ref.New)[id]), "null", "none", 1), "%v", row)
		seen[ref.String()+" "+fmt.Sprint(row[3] == "none")] = true
	}
	require.Len(t, seen, 2*len(legacy.References), "of each that becomes a run and that does not: %v", seen)
}

func TestRepointComesAfterVerifyAndBeforeDrop(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, fixture.Options{Rows: 20, Tidy: true, Memberships: true})
	s.UpTo("backfill")
	_, err := s.Try(t.Context(), "repoint")
	require.ErrorContains(t, err, "verify comes first")
	s.Do("verify")
	s.Do("repoint")
	s.Do("verify")
	s.Do("drop")
	_, err = s.Try(t.Context(), "repoint")
	require.ErrorIs(t, err, legacy.ErrArchived)
}

// What the older installation writes while repoint works is repointed too, and comes back with
// a rollback. The writer ends when the old column is gone.
func TestRepointKeepsUpWithAWriter(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, fixture.Options{Rows: 3000, Linked: 30, Tidy: true, Memberships: true})
	s.UpTo("verify")
	syncs := s.Column(legacy.SyncRuns, "operation_run_id")
	var ids []int64
	for id := range syncs {
		ids = append(ids, id)
	}
	conn := s.Connect()
	written := make(chan map[int64]int64)
	began := make(chan struct{})
	go func() {
		written <- writeItems(t, conn, ids, began)
	}()
	<-began
	s.Do("repoint")
	last := <-written
	require.Greater(t, len(last), 10)
	got := s.Column("inventory_items", "last_seen_operation_run_id")
	for item, sync := range last {
		require.Equal(t, text(syncs[sync]), text(got[item]), "item %d", item)
	}
	s.Do("rollback to repoint")
	back := s.Column("inventory_items", "last_seen_run_id")
	for item, sync := range last {
		require.Equal(t, sync, *back[item], "item %d", item)
	}
}

// writeItems updates items like a sync of the older installation, until the column is gone. It
// returns the last sync of each item.
func writeItems(t *testing.T, conn *pgx.Conn, syncs []int64, began chan<- struct{}) map[int64]int64 {
	last := map[int64]int64{}
	for i := 0; ; i++ {
		sync := syncs[i%len(syncs)]
		var id int64
		err := conn.QueryRow(t.Context(), `
			insert into inventory_items (tenant_id, policy_type, external_id, last_seen_run_id)
			select tenant_id, 'written', $2, id from inventory_sync_runs where id = $1
			on conflict (tenant_id, policy_type, external_id) do update set last_seen_run_id = excluded.last_seen_run_id
			returning id`, sync, fmt.Sprint(i%50)).Scan(&id)
		if sqlstate.Is(err, sqlstate.UndefinedColumn) {
			return last
		}
		if err != nil {
			t.Errorf("write %d: %v", i, err)
			return last
		}
		last[id] = sync
		if i == 20 {
			close(began)
		}
	}
}

// Repoint waits for a row that a writer has locked, while other rows and writers go on.
func TestRepointWaitsForALockedRow(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Everything)
	s.UpTo("verify")
	conn := s.Connect()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "update inventory_items set last_seen_run_id = 3 where id = 4")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := s.Try(t.Context(), "repoint")
		done <- err
	}()
	other := s.Connect()
	longest := s.WriteFor(other, 6*time.Second, "update inventory_items set display_name = 'x' where id = 5")
	require.Less(t, longest, 3*time.Second, "nobody waits longer than the lock timeout")
	select {
	case err := <-done:
		t.Fatalf("repoint ended though a row was locked: %v", err)
	default:
	}
	_, err = tx.Exec(t.Context(), "update inventory_items set last_seen_run_id = 3 where id = 5")
	require.NoError(t, err, "the writer was not chosen to end a deadlock")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	bridge := s.Column(legacy.SyncRuns, "operation_run_id")[3]
	got := s.Column("inventory_items", "last_seen_operation_run_id")
	require.Equal(t, *bridge, *got[4])
	require.Equal(t, *bridge, *got[5])
}

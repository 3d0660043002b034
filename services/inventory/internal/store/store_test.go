package store_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/inventory"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

func setup(t *testing.T) (*store.Store, *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, inventory.Name, inventory.Service.Migrate)
	return store.New(db.Pool), db.Pool
}

const (
	workspaceID = 3
	tenantID    = 7
	typ         = "deviceConfigurations"
)

func begin(t *testing.T, s *store.Store, run, epoch int64) item.Read {
	t.Helper()
	r, err := s.BeginRead(t.Context(), item.Read{WorkspaceID: workspaceID, TenantID: tenantID, Type: typ, RunID: run, Epoch: epoch})
	require.NoError(t, err)
	return r
}

func seen(id, body string) item.Seen {
	return item.Seen{
		ExternalID: id, DisplayName: id, Hash: sha256.Sum256([]byte(body)), Payload: []byte(body),
		Elements: []item.Element{{Collection: "assignments", Payload: []byte(" [ " + body + " ] ")}},
	}
}

func write(t *testing.T, s *store.Store, r item.Read, batch ...item.Seen) item.Counts {
	t.Helper()
	counts, err := s.Write(t.Context(), r, 1, batch)
	require.NoError(t, err)
	return counts
}

func end(t *testing.T, s *store.Store, r item.Read, complete bool) item.Coverage {
	t.Helper()
	c := item.Coverage{Read: r, Complete: complete}
	if !complete {
		c.Reason = "throttled"
	}
	c, err := s.EndRead(t.Context(), c)
	require.NoError(t, err)
	return c
}

func count(t *testing.T, db *pgxpool.Pool, query string) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow(t.Context(), query).Scan(&n))
	return n
}

func TestBytesAreKeptAsTheyAre(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	odd := "{\"a\" : 1.50,\r\n\"a\":2, \"b\":\"\\u0000\\/\xff\"}"
	write(t, s, begin(t, s, 1, 1), seen("x", odd))
	items, err := s.Items(t.Context(), store.ItemFilter{WorkspaceID: workspaceID, TenantID: tenantID}, page.Page[store.After]{Limit: 10})
	require.NoError(t, err)
	v, elements, err := s.Version(t.Context(), items[0].ID, 1)
	require.NoError(t, err)
	require.Equal(t, odd, string(v.Payload))
	require.Equal(t, " [ "+odd+" ] ", string(elements[0].Payload))
}

func TestWritingAgainAddsNothing(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	first := begin(t, s, 1, 1)
	require.EqualValues(t, 2, write(t, s, first, seen("x", "1"), seen("y", "1")).Created)
	again := begin(t, s, 1, 2)
	require.EqualValues(t, 2, write(t, s, again, seen("x", "1"), seen("y", "1")).Created, "they are this run's work")
	end(t, s, again, true)
	other := begin(t, s, 2, 1)
	counts := write(t, s, other, seen("x", "1"), seen("y", "2"))
	require.EqualValues(t, 1, counts.Unchanged)
	require.EqualValues(t, 1, counts.Updated)
	require.Equal(t, 3, count(t, db, "select count(*) from item_version"))
	require.Equal(t, 3, count(t, db, "select count(*) from version_element"))
}

func TestRemovalNeedsACompleteReadThatBeganAfterTheLastSight(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	const gone = "select count(*) from item where removed_time is not null"
	r := begin(t, s, 1, 1)
	write(t, s, r, seen("x", "1"), seen("y", "1"))
	end(t, s, r, true)
	r = begin(t, s, 2, 1)
	write(t, s, r, seen("x", "1"))
	require.Zero(t, end(t, s, r, false).Removed)
	require.Zero(t, count(t, db, gone))
	r = begin(t, s, 3, 1)
	write(t, s, r, seen("x", "1"))
	require.EqualValues(t, 1, end(t, s, r, true).Removed)
	require.Equal(t, 1, count(t, db, gone))
	// An interrupted read saw y come back; the one that goes on does not see it.
	r = begin(t, s, 4, 1)
	write(t, s, r, seen("y", "1"))
	require.Zero(t, count(t, db, gone))
	r = begin(t, s, 4, 2)
	write(t, s, r, seen("x", "1"))
	require.EqualValues(t, 1, end(t, s, r, true).Removed)
}

func TestAReadIsOfOneTenantAndType(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	for _, other := range []item.Read{
		{WorkspaceID: workspaceID, TenantID: 8, Type: typ, RunID: 1}, {WorkspaceID: workspaceID, TenantID: tenantID, Type: "other", RunID: 1},
	} {
		r, err := s.BeginRead(t.Context(), other)
		require.NoError(t, err)
		write(t, s, r, seen("x", "1"))
	}
	require.Zero(t, end(t, s, begin(t, s, 2, 1), true).Removed)
	require.Equal(t, 2, count(t, db, "select count(*) from item where removed_time is null"))
}

func TestAWorkerThatLostItsReadWritesNoMore(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	lost := begin(t, s, 1, 1)
	write(t, s, lost, seen("x", "1"))
	next := begin(t, s, 1, 2)
	_, err := s.Write(t.Context(), lost, 1, []item.Seen{seen("z", "1")})
	require.ErrorIs(t, err, store.ErrReadClosed)
	_, err = s.EndRead(t.Context(), item.Coverage{Read: lost, Complete: true})
	require.ErrorIs(t, err, store.ErrReadClosed)
	_, err = s.BeginRead(t.Context(), item.Read{WorkspaceID: workspaceID, TenantID: tenantID, Type: typ, RunID: 1, Epoch: 1})
	require.ErrorIs(t, err, store.ErrTakenOver)
	write(t, s, next, seen("x", "1"))
	end(t, s, next, true)
	require.Equal(t, 1, count(t, db, "select count(*) from item"))
	coverage, err := s.RunCoverage(t.Context(), workspaceID, tenantID, 1)
	require.NoError(t, err)
	require.Len(t, coverage, 1, "the last read of the type tells")
	require.True(t, coverage[0].Complete)
}

func TestTheAppRoleCannotChangeVersions(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	write(t, s, begin(t, s, 1, 1), seen("x", "1"))
	for _, statement := range []string{
		"update item_version set payload = ''", "delete from item_version", "truncate item_version",
		"update version_element set payload = ''", "delete from version_element", "delete from item", "delete from coverage",
	} {
		_, err := db.Exec(t.Context(), statement)
		require.Equal(t, sqlstate.InsufficientPrivilege, sqlstate.Of(err), "%s: %v", statement, err)
	}
}

func TestImpossibleRowsCannotBeStored(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	r := begin(t, s, 1, 1)
	for constraint, statement := range map[string]string{
		"coverage_complete_only_when_ended":     "update coverage set complete = true",
		"coverage_reason_iff_incomplete":        "update coverage set end_time = now()",
		"coverage_removes_only_when_complete":   "update coverage set end_time = now(), reason_code = 'x', removed_count = 1",
		"coverage_complete_without_failures":    "update coverage set end_time = now(), complete = true, failed_count = 1",
		"coverage_one_open_read":                "insert into coverage (workspace_id, tenant_id, operation_run_id, lease_epoch, type) select workspace_id, tenant_id, 2, 1, type from coverage",
		"sync_schedule_next_slot_unless_paused": "insert into sync_schedule (workspace_id, tenant_id, display_name, types, cron, time_zone, paused, caller) values (1, 1, '', '{}', '', '', false, '')",
	} {
		_, err := db.Exec(t.Context(), statement)
		require.Equal(t, constraint, pg.Constraint(err), statement)
	}
	end(t, s, r, true)
}

func TestOneReaderAtATime(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	first, err := s.Lock(t.Context(), tenantID, typ)
	require.NoError(t, err)
	other, err := s.Lock(t.Context(), tenantID, "other")
	require.NoError(t, err, "another type is another lock")
	other.Release()

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Lock(short, tenantID, typ)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	waiting := make(chan error, 1)
	go func() {
		l, err := s.Lock(t.Context(), tenantID, typ)
		if err == nil {
			l.Release()
		}
		waiting <- err
	}()
	first.Release()
	require.NoError(t, <-waiting)
}

func TestALockEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	l, err := s.Lock(t.Context(), tenantID, typ)
	require.NoError(t, err)
	defer l.Release()
	ctx, release := l.Hold(t.Context())
	defer release()
	_, err = db.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_locks
		where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`)
	require.NoError(t, err)
	<-ctx.Done()
	require.ErrorIs(t, context.Cause(ctx), store.ErrLockLost)
	again, err := s.Lock(t.Context(), tenantID, typ)
	require.NoError(t, err)
	again.Release()
}

func TestUnseenAreWhatACompleteReadRemoves(t *testing.T) {
	t.Parallel()
	s, db := setup(t)
	first := begin(t, s, 1, 1)
	write(t, s, first, seen("a", "1"), seen("b", "2"), seen("c", "3"), seen("d", "4"))
	end(t, s, first, true)
	second := begin(t, s, 2, 1)
	write(t, s, second, seen("b", "2"), seen("c", "changed"), seen("e", "5"))
	unseen, err := s.Unseen(t.Context(), second, 10)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a", "d"}, unseen)
	unseen, err = s.Unseen(t.Context(), second, 1)
	require.NoError(t, err)
	require.Len(t, unseen, 1)
	require.EqualValues(t, 2, end(t, s, second, true).Removed)
	require.Equal(t, 2, count(t, db, "select count(*) from item where removed_time is not null and external_id in ('a', 'd')"))
	third := begin(t, s, 3, 1)
	unseen, err = s.Unseen(t.Context(), third, 10)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"b", "c", "e"}, unseen, "what is removed is not removed again")
}

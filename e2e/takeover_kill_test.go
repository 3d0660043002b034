package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// forth are the stages, and back undoes them.
var (
	forth = []string{
		"analyse", "adopt --owner=2=3", "backfill --history=import", "adopt", "backfill --history=import --cut-over",
		"verify --all", "repoint", "verify --all", "drop --snapshot=before",
	}
	back = []string{"rollback --to drop", "rollback --to repoint", "rollback --to backfill", "rollback --to adopt"}
)

// goesOn is the number of stages during which the older installation goes on working.
const goesOn = 3

// Every stage is killed at random instants, again and again, while the older installation goes
// on until the cut-over. Both databases end in the same state as when no stage is killed, and
// after the rollback in the state in which they began.
func TestKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	k := newKiller(t)
	server := pgtest.Server(t)
	legacy := []string{"--rows=" + k.rows, "--linked=30", "--memberships", "--seed=7"}
	m := newMove(t, server, server, legacy...)
	older := m.work(t)
	older.goOn(k.steps)
	m.all(t, forth[:goesOn], k.kill)
	older.stop(t, k.steps)
	m.all(t, forth[goesOn:], k.kill)

	calm := m.again(t, server, legacy...)
	calm.work(t).stop(t, k.steps)
	k.compare(t, m, calm, forth)
}

// The same with the databases on two servers, a live run whose id is needed, and a history
// that is only linked.
func TestKilledBetweenTwoServers(t *testing.T) {
	t.Parallel()
	k := newKiller(t)
	k.kills = (k.kills + 2) / 3
	shared, private := pgtest.Server(t), pgtest.Private(t).Handle()
	m := newMove(t, private, shared, "--unknown-type")
	m.serve(t, "operations", func(ctx context.Context) error {
		return operations.Service.Run(ctx, m.operationsConfig(options{}), m.log)
	})
	_, err := newRunsAPI(t, m).start(t, 1)
	require.NoError(t, err)

	adopt := "adopt --owner=1=1,2=3,4=7 --type-map=policy.export=archive"
	adopt += " --id-offset=" + m.asked(t, adopt+" --plan", `adopt with --id-offset (\d+)`)
	stages := []string{"analyse", adopt, "backfill --history=link", "backfill --history=link --cut-over", "verify --all", "repoint", "verify --all"}
	m.all(t, stages, k.kill)
	require.Contains(t, m.refuses(t, "backfill", "--plan", "--history=import"), "decided before")
	drop := "drop --snapshot=before"
	drop += " --archive-unlinked=" + m.asked(t, drop+" --plan", `(\d+) are without a run`)
	m.all(t, []string{drop}, k.kill)
	_, err = connect(t, m.ops).Exec(t.Context(), "delete from operation_runs where origin = 'live'") // it has only taken an id
	require.NoError(t, err)
	k.compare(t, m, m.again(t, shared, "--unknown-type"), append(stages, drop))
}

// compare requires that m, whose stages were killed, has ended in the same state as calm, which
// it takes through the same stages without killing any. Then it rolls m back, killing that too.
func (k *killer) compare(t *testing.T, m, calm *move, stages []string) {
	t.Helper()
	people, began := m.people(t), world{calm.legacyDump(t, nil), calm.runsDump(t, nil)}
	calm.all(t, stages, finish)
	m.named(t).same(t, calm.named(t), "killed on the way, seed %d", k.seed)
	require.Equal(t, people, m.people(t), "nobody was left out, seed %d", k.seed)
	m.all(t, back, k.kill)
	world{m.legacyDump(t, nil), m.runsDump(t, nil)}.same(t, began, "killed on the way back, seed %d", k.seed)
	require.Greater(t, k.hit, k.stages/2, "most stages were killed before their end, seed %d", k.seed)
}

// named returns the state of both databases, with runs named by their legacy rows.
func (m *move) named(t *testing.T) world {
	t.Helper()
	blocks := m.blocks(t)
	return world{m.legacyDump(t, blocks), m.runsDump(t, blocks)}
}

// people returns the objects of tenancy.
func (m *move) people(t *testing.T) []string {
	t.Helper()
	rows := all[struct{ Row string }](t, connect(t, m.tenancy), `select format('workspace %s %s', id, legacy_id) from workspace
		union all select format('user %s %s', id, legacy_id) from app_user
		union all select format('tenant %s %s %s', id, workspace_id, legacy_id) from tenant
		union all select format('member %s %s %s', workspace_id, user_id, role) from member order by 1`)
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Row
	}
	return names
}

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

// who returns the workspaces, users, tenants and members of tenancy, without times.
func (m *move) who(t *testing.T) map[string][]string {
	t.Helper()
	return dumpOf(t, m.tenancy, nil, "--data-only").tables
}

// decidedFor are the flags that the awkward fixture needs.
var decidedFor = []string{"--owner=2=3", "--workspace-map=20=1,21=Loose Ends", "--owner=1000728784265=Lena Neu"}

// Adopt takes everybody over into the real tenancy, once, however often it runs. Nobody can
// sign in by that, and it copies no secrets.
func TestAdoptBringsPeopleToTenancy(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	m := newMove(t, server, server, "--rows=600", "--memberships", "--loose-tenants", "--bad-tenants")
	legacy, people, runs := connect(t, m.legacy), connect(t, m.tenancy), connect(t, m.ops)
	before := m.who(t)

	said := m.refuses(t, "adopt", "--plan")
	for _, want := range []string{"without: 20 (Loose One), 21 (Loose Two)", "without: 2 (Contoso)", "30 (No Directory): directory_id", "31 (No GUID): directory_id"} {
		require.Contains(t, said, want)
	}
	_, err := legacy.Exec(t.Context(), "update tenants set external_id = '11111111-1111-4111-8111-0000000000' || id where id in (30, 31)")
	require.NoError(t, err)
	plan := m.must(t, append([]string{"adopt", "--plan"}, decidedFor...)...)
	require.Contains(t, plan, "tenants of the same directory and workspace as an earlier one")
	require.Equal(t, before, m.who(t), "a plan writes nothing")
	require.Zero(t, only[int64](t, runs, "select count(*) from operation_runs"))

	m.must(t, append([]string{"adopt"}, decidedFor...)...)
	after := m.who(t)
	require.NotContains(t, strings.Join(append(after["tenant"], after["app_user"]...), "\n"), "carried-over-nowhere")
	require.Equal(t, []string{"Contoso", "Contoso (legacy 2)", "Loose Ends"},
		texts(t, m, "select display_name from workspace where legacy_id in (1, 2, 1000728784265) order by 1"))
	require.Zero(t, only[int64](t, people, "select count(*) from app_user where legacy_id is not null and claimed_at is not null"), "nobody signs in by an import")
	require.Equal(t, int64(1), only[int64](t, people, "select count(*) from graph_connection"), "only the one that was made here")
	require.Equal(t, []string{"Lena Neu owner", "Sam Same owner"},
		texts(t, m, `select u.display_name || ' ' || m.role from member m join app_user u on u.id = m.user_id join workspace w on w.id = m.workspace_id
			where w.legacy_id in (2, 1000728784265) and m.role = 'owner' order by 1`))
	require.Equal(t, only[int64](t, people, "select count(*) from workspace where legacy_id is not null"),
		only[int64](t, runs, "select count(*) from workspace_hold where not starts_allowed"), "the workspace that lives here already is not held")
	require.Zero(t, only[int64](t, legacy, `select count(*) from tenantpilot_takeover.tenant_map a join tenantpilot_takeover.tenant_map b using (tenant_id)
		where a.legacy_id = 2 and b.legacy_id = 32 and a.workspace_id <> b.workspace_id`))

	m.must(t, "adopt")
	require.Equal(t, after, m.who(t), "options given once are remembered")
}

// Adopt does not change a user who has claimed an identity.
func TestAdoptLeavesClaimedUsersAlone(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	m := newMove(t, server, server, "--memberships")
	m.must(t, "adopt", "--owner=2=3")
	_, err := connect(t, m.tenancy).Exec(t.Context(), `update app_user set claimed_at = now(), identity_issuer = 'https://login.example.com', identity_subject = 'ada',
		home_workspace_id = (select id from workspace where legacy_id = 1) where legacy_id = 1`)
	require.NoError(t, err)
	before := m.who(t)
	_, err = connect(t, m.legacy).Exec(t.Context(), "insert into workspace_memberships (id, workspace_id, user_id, role) values (900, 4, 1, 'owner')")
	require.NoError(t, err)
	require.Contains(t, m.must(t, "adopt"), "members who have claimed an identity since: an owner of the workspace adds them: 1 in workspace_memberships")
	require.Equal(t, before, m.who(t))
}

// Only the takeover's certificate may import.
func TestAdoptNeedsItsCertificate(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	m := newMove(t, server, server)
	cmd := m.command(t, "adopt", "--plan", "--owner=1=1,2=3,4=7")
	cmd.Env = append(cmd.Env, "TAKEOVER_TLS_CERT="+m.ca.CertFile("operator"), "TAKEOVER_TLS_KEY="+m.ca.KeyFile("operator"))
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "import into tenancy")
	cmd = m.command(t, "adopt", "--plan")
	cmd.Env = append(cmd.Env, "TAKEOVER_TENANCY_ADDRESS=")
	said, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "TAKEOVER_TENANCY_ADDRESS is not set")
	m.must(t, "adopt", "--plan", "--owner=1=1,2=3,4=7")
}

func texts(t *testing.T, m *move, sql string) []string {
	t.Helper()
	var out []string
	for _, row := range all[struct{ Text string }](t, connect(t, m.tenancy), sql) {
		out = append(out, row.Text)
	}
	return out
}

package adopt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestAdoptTakesOverWhoWasWho(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Memberships: true})
	w.Adopt(adopt.Options{Owners: map[int64]string{2: "Lena Neu"}})

	require.Len(t, w.Registry.Known.Workspaces, 3)
	require.Equal(t, "Contoso (legacy 2)", w.Registry.Known.Workspaces[2].Name)
	require.Equal(t, "ada@example.com", w.Registry.Known.Users[1].Email)
	require.Equal(t, "Lena Neu", w.Registry.Known.Users[adopt.MadeID("Lena Neu")].Name)
	require.Equal(t, "11111111-1111-4111-8111-00000000000a", w.Registry.Known.Tenants[2].Directory)
	require.Equal(t, "owner owner manager owner", strings.Join([]string{
		role(w, 1, 1), role(w, 2, adopt.MadeID("Lena Neu")), role(w, 2, 3), role(w, 4, 7)}, " "), "a role is not compared by case")

	for legacy, here := range w.Registry.Known.Tenants {
		require.Equal(t, here.ID, takeovertest.One[int64](t, w.Legacy, "select tenant_id from tenantpilot_takeover.tenant_map where legacy_id = $1", legacy))
	}
	require.Equal(t, int64(3), takeovertest.One[int64](t, w.Operations, "select count(*) from workspace_hold where not starts_allowed"))
}

func role(w *takeovertest.Takeover, workspace, user int64) string {
	for name, r := range adopt.Roles {
		if w.Registry.Known.Members[[2]int64{workspace, user}] == r {
			return name
		}
	}
	return "none"
}

func TestAdoptRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Memberships: true, LooseTenants: true})
	whole := func() adopt.Options {
		return adopt.Options{WorkspaceMap: map[int64]string{20: "1", 21: "1"}, Owners: map[int64]string{2: "3"}}
	}
	for name, tt := range map[string]struct {
		change func(*adopt.Options)
		want   string
	}{
		"tenant without workspace":   {func(o *adopt.Options) { delete(o.WorkspaceMap, 21) }, "without: 21 (Loose Two)"},
		"tenant that has one":        {func(o *adopt.Options) { o.WorkspaceMap[1] = "2" }, "tenant 1 is in workspace 1"},
		"no such tenant":             {func(o *adopt.Options) { o.WorkspaceMap[99] = "2" }, "there is no tenant 99"},
		"no such workspace":          {func(o *adopt.Options) { o.WorkspaceMap[20] = "3" }, "there is no legacy workspace 3"},
		"name of several workspaces": {func(o *adopt.Options) { o.WorkspaceMap[20] = "Contoso" }, "give its id, 1 or 2"},
		"workspace without owner":    {func(o *adopt.Options) { delete(o.Owners, 2) }, "without: 2 (Contoso)"},
		"owner of nothing":           {func(o *adopt.Options) { o.Owners[3] = "1" }, "there is no legacy workspace 3"},
		"no such owner":              {func(o *adopt.Options) { o.Owners[2] = "2" }, "there is no legacy user 2"},
		"owner guessed from a name":  {func(o *adopt.Options) { o.Owners[2] = "Sam Same" }, "is the name of a legacy user: give the id, 3, 4"},
		"time zone":                  {func(o *adopt.Options) { o.Timezone = "Middle/Earth" }, "Middle/Earth is no time zone"},
		"known type":                 {func(o *adopt.Options) { o.TypeMap = map[string]string{"inventory.sync": legacy.Archive} }, "inventory.sync is known"},
	} {
		o := whole()
		tt.change(&o)
		require.Contains(t, w.Refused(o), tt.want, name)
	}
	require.Empty(t, w.Registry.Known.Workspaces)
	require.Zero(t, takeovertest.One[int64](t, w.Operations, "select count(*) from takeover_block"))
	w.Adopt(whole())
	require.Contains(t, w.Refused(adopt.Options{Timezone: "Europe/Berlin"}), "it was UTC when runs were adopted before")
}

func TestTenantsOfNoDirectoryStopAdoptAndTwinsBecomeOne(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{BadTenants: true})
	said := w.Refused(adopt.Options{Owners: takeovertest.AwkwardOwners})
	require.Contains(t, said, "tenant 30 (No Directory): directory_id: must be a GUID")
	require.Contains(t, said, "tenant 31 (No GUID): directory_id: must be a GUID")
	require.NotContains(t, said, "32")

	w.Exec("update tenants set external_id = '11111111-1111-4111-8111-0000000000' || id where id in (30, 31)")
	r := w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	require.Equal(t, []string{"32"}, takeovertest.Finding(r, "same_directory", "tenants").Samples)
	require.Equal(t, w.Registry.Known.Tenants[2].ID, takeovertest.One[int64](t, w.Legacy, "select tenant_id from tenantpilot_takeover.tenant_map where legacy_id = 32"))
}

func TestATenantThatMovedStaysWhereItWasTakenTo(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	once := takeovertest.One[int64](t, w.Legacy, "select workspace_id from tenantpilot_takeover.tenant_map where legacy_id = 3")
	w.Exec("update tenants set workspace_id = 1 where id = 3")
	r := w.Adopt(adopt.Options{})
	require.Equal(t, []string{"3"}, takeovertest.Finding(r, "tenant_moved", "tenants").Samples)
	require.Equal(t, once, takeovertest.One[int64](t, w.Legacy, "select workspace_id from tenantpilot_takeover.tenant_map where legacy_id = 3"))
}

func TestAdoptNeedsTheSameTenancyAgain(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	_, other := takeovertest.NewRegistry(9001).Serve(t)
	w.Tenancy = other
	_, err := adopt.Run(t.Context(), w.Ledger, w.Tenancy, adopt.Options{Owners: takeovertest.AwkwardOwners})
	require.ErrorContains(t, err, "is it another installation")

	w.Tenancy = nil
	_, err = adopt.Run(t.Context(), w.Ledger, w.Tenancy, adopt.Options{})
	require.ErrorIs(t, err, adopt.ErrNoTenancy)
}

func TestPeopleGoOverInBatches(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Memberships: true})
	w.Exec("insert into users (id, name, email, password) select n, 'Many', n || '@example.com', '' from generate_series(2000, 3199) n")
	w.Exec("insert into workspace_memberships (id, workspace_id, user_id, role) select n, 1, n, 'guest' from generate_series(2000, 3199) n")
	w.Exec("insert into tenants (id, name, external_id, workspace_id) select n, 'Many', '22222222-1111-4111-8111-00000000' || n, 2 from generate_series(2000, 2501) n")
	r := w.Adopt(adopt.Options{Owners: map[int64]string{2: "3"}})
	require.Len(t, w.Registry.Known.Users, 1205)
	require.Len(t, w.Registry.Known.Tenants, 507)
	require.Equal(t, "readonly", role(w, 1, 3199))
	require.Equal(t, int64(1200), takeovertest.Finding(r, "unknown_role", "workspace_memberships").Count)
}

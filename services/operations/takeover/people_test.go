package takeover

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

func TestAdoptTakesOverWhoWasWho(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Memberships: true})
	w.adopt(AdoptOptions{Owners: map[int64]string{2: "Lena Neu"}})

	require.Len(t, w.registry.known.workspaces, 3)
	require.Equal(t, "Contoso (legacy 2)", w.registry.known.workspaces[2].name)
	require.Equal(t, "ada@example.com", w.registry.known.users[1].email)
	require.Equal(t, "Lena Neu", w.registry.known.users[madeID("Lena Neu")].name)
	require.Equal(t, "11111111-1111-4111-8111-00000000000a", w.registry.known.tenants[2].directory)
	require.Equal(t, "owner owner manager owner", strings.Join([]string{
		role(w, 1, 1), role(w, 2, madeID("Lena Neu")), role(w, 2, 3), role(w, 4, 7)}, " "), "a role is not compared by case")

	for legacy, here := range w.registry.known.tenants {
		require.Equal(t, here.id, one[int64](t, w.tool.legacy, "select tenant_id from tenantpilot_takeover.tenant_map where legacy_id = $1", legacy))
	}
	require.Equal(t, int64(3), one[int64](t, w.tool.target, "select count(*) from workspace_hold where not starts_allowed"))
}

func role(w *stages, workspace, user int64) string {
	for name, r := range roles {
		if w.registry.known.members[[2]int64{workspace, user}] == r {
			return name
		}
	}
	return "none"
}

func TestAdoptRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Memberships: true, LooseTenants: true})
	whole := func() AdoptOptions {
		return AdoptOptions{WorkspaceMap: map[int64]string{20: "1", 21: "1"}, Owners: map[int64]string{2: "3"}}
	}
	for name, tt := range map[string]struct {
		change func(*AdoptOptions)
		want   string
	}{
		"tenant without workspace":   {func(o *AdoptOptions) { delete(o.WorkspaceMap, 21) }, "without: 21 (Loose Two)"},
		"tenant that has one":        {func(o *AdoptOptions) { o.WorkspaceMap[1] = "2" }, "tenant 1 is in workspace 1"},
		"no such tenant":             {func(o *AdoptOptions) { o.WorkspaceMap[99] = "2" }, "there is no tenant 99"},
		"no such workspace":          {func(o *AdoptOptions) { o.WorkspaceMap[20] = "3" }, "there is no legacy workspace 3"},
		"name of several workspaces": {func(o *AdoptOptions) { o.WorkspaceMap[20] = "Contoso" }, "say its id, 1 or 2"},
		"workspace without owner":    {func(o *AdoptOptions) { delete(o.Owners, 2) }, "without: 2 (Contoso)"},
		"owner of nothing":           {func(o *AdoptOptions) { o.Owners[3] = "1" }, "there is no legacy workspace 3"},
		"no such owner":              {func(o *AdoptOptions) { o.Owners[2] = "2" }, "there is no legacy user 2"},
		"owner guessed from a name":  {func(o *AdoptOptions) { o.Owners[2] = "Sam Same" }, "is the name of a legacy user: say the id, 3, 4"},
		"time zone":                  {func(o *AdoptOptions) { o.Timezone = "Middle/Earth" }, "Middle/Earth is no time zone"},
		"known type":                 {func(o *AdoptOptions) { o.TypeMap = map[string]string{"inventory.sync": archive} }, "inventory.sync is known"},
	} {
		o := whole()
		tt.change(&o)
		require.Contains(t, w.refused(o), tt.want, name)
	}
	require.Empty(t, w.registry.known.workspaces)
	require.Zero(t, one[int64](t, w.tool.target, "select count(*) from takeover_block"))
	w.adopt(whole())
	require.Contains(t, w.refused(AdoptOptions{Timezone: "Europe/Berlin"}), "it was UTC when runs were adopted before")
}

func TestTenantsOfNoDirectoryStopAdoptAndTwinsBecomeOne(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{BadTenants: true})
	said := w.refused(AdoptOptions{Owners: owners})
	require.Contains(t, said, "tenant 30 (No Directory): directory_id: must be a GUID")
	require.Contains(t, said, "tenant 31 (No GUID): directory_id: must be a GUID")
	require.NotContains(t, said, "32")

	w.exec("update tenants set external_id = '11111111-1111-4111-8111-0000000000' || id where id in (30, 31)")
	r := w.adopt(AdoptOptions{Owners: owners})
	require.Equal(t, []string{"32"}, finding(r, "same_directory", "tenants").Samples)
	require.Equal(t, w.registry.known.tenants[2].id, one[int64](t, w.tool.legacy, "select tenant_id from tenantpilot_takeover.tenant_map where legacy_id = 32"))
}

func TestATenantThatMovedStaysWhereItWasTakenTo(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	w.adopt(AdoptOptions{Owners: owners})
	once := one[int64](t, w.tool.legacy, "select workspace_id from tenantpilot_takeover.tenant_map where legacy_id = 3")
	w.exec("update tenants set workspace_id = 1 where id = 3")
	r := w.adopt(AdoptOptions{})
	require.Equal(t, []string{"3"}, finding(r, "tenant_moved", "tenants").Samples)
	require.Equal(t, once, one[int64](t, w.tool.legacy, "select workspace_id from tenantpilot_takeover.tenant_map where legacy_id = 3"))
}

func TestAdoptNeedsTheSameTenancyAgain(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	w.adopt(AdoptOptions{Owners: owners})
	_, other := newRegistry(9001).serve(t)
	w.tool.tenancy = other
	_, err := w.tool.Adopt(t.Context(), AdoptOptions{Owners: owners})
	require.ErrorContains(t, err, "is it another installation")

	w.tool.tenancy = nil
	_, err = w.tool.Adopt(t.Context(), AdoptOptions{})
	require.ErrorIs(t, err, errNoTenancy)
}

func TestPeopleGoOverInBatches(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Memberships: true})
	w.exec("insert into users (id, name, email, password) select n, 'Many', n || '@example.com', '' from generate_series(2000, 3199) n")
	w.exec("insert into workspace_memberships (id, workspace_id, user_id, role) select n, 1, n, 'guest' from generate_series(2000, 3199) n")
	w.exec("insert into tenants (id, name, external_id, workspace_id) select n, 'Many', '22222222-1111-4111-8111-00000000' || n, 2 from generate_series(2000, 2501) n")
	r := w.adopt(AdoptOptions{Owners: map[int64]string{2: "3"}})
	require.Len(t, w.registry.known.users, 1205)
	require.Len(t, w.registry.known.tenants, 507)
	require.Equal(t, "readonly", role(w, 1, 3199))
	require.Equal(t, int64(1200), finding(r, "unknown_role", "workspace_memberships").Count)
}

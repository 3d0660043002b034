package e2e

import (
	"bytes"
	encoding "encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// exportsIn is the number of objects in each file of testdata/exports.
var exportsIn = map[string]int{"plain.json": 1, "bom.json": 1, "utf16.json": 1, "value.json": 2, "array.json": 2, "beside/Servers.json": 1}

// Exports of several tools, in every encoding and structure. A readable object is stored with
// the bytes of its file; an unreadable file is named with the reason.
func TestExports(t *testing.T) {
	t.Parallel()
	const dir = "testdata/exports"
	f := start(t, options{sim: graphsim.TenantConfig{Load: []string{dir}}, noQuotas: true})
	report := f.sim.LoadReport()
	rejected := map[string]string{}
	for _, r := range report.Rejected {
		rejected[filepath.Base(r.Path)] = r.Reason
	}
	require.Len(t, rejected, 3, "%v", rejected)
	require.Contains(t, rejected["broken.json"], "line 3, column 17")
	require.Contains(t, rejected["unrecognised.json"], "colour, size")
	require.Contains(t, rejected["none.json"], "empty array")

	r := f.sync(t)
	require.Equal(t, succeeded, r.Outcome, "%+v", r.FailureSummary)
	objects := 0
	for name, n := range exportsIn {
		objects += n
		require.Len(t, loadedFrom(report, name), n, name)
	}
	require.Equal(t, objects, f.count(t, "select count(*) from item where type <> 'roleScopeTags'"))
	for name := range exportsIn {
		text := decoded(t, filepath.Join(dir, name))
		for _, o := range loadedFrom(report, name) {
			if o.Type == "configurationPolicies" {
				requireSettingsOf(t, f, o.ID, text+beside(t, dir, name))
			} else {
				require.Contains(t, text, f.payload(t, o.Type, o.ID), name)
			}
		}
	}
}

func loadedFrom(r graphsim.Report, name string) (all []graphsim.LoadedFile) {
	for _, l := range r.Loaded {
		path, _, _ := strings.Cut(l.Path, "[")
		if strings.HasSuffix(filepath.ToSlash(path), "/"+name) {
			all = append(all, l)
		}
	}
	return all
}

// requireSettingsOf requires the same settings in a file and in the store.
func requireSettingsOf(t *testing.T, f *fleet, id, text string) {
	t.Helper()
	rows, err := f.inventory.Pool.Query(t.Context(), `
		select e.payload from item i join version_element e on e.item_id = i.id and e.version = i.version
		where i.external_id = $1 and e.collection = 'settings' order by e.ordinal`, id)
	require.NoError(t, err)
	stored, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)
	require.Len(t, stored, strings.Count(text, `"settingInstance"`), id)
	for _, setting := range stored {
		require.Contains(t, text, string(setting), id)
	}
}

// beside returns the text of the file with the settings of a policy, if there is one.
func beside(t *testing.T, dir, name string) string {
	t.Helper()
	if !strings.HasPrefix(name, "beside/") {
		return ""
	}
	return decoded(t, filepath.Join(dir, strings.TrimSuffix(name, ".json")+"_Settings.json"))
}

// decoded returns the text of a file as UTF-8, without using the code under test.
func decoded(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	if !bytes.HasPrefix(raw, []byte{0xff, 0xfe}) {
		return strings.TrimPrefix(string(raw), "\ufeff")
	}
	units := make([]uint16, len(raw)/2-1)
	for i := range units {
		units[i] = encoding.LittleEndian.Uint16(raw[2*i+2:])
	}
	return string(utf16.Decode(units))
}

// payload returns an object as it is stored.
func (f *fleet) payload(t *testing.T, typ, id string) string {
	t.Helper()
	var got []byte
	require.NoError(t, f.inventory.Pool.QueryRow(t.Context(), `
		select v.payload from item i join item_version v on v.item_id = i.id and v.version = i.version
		where i.type = $1 and i.external_id = $2`, typ, id).Scan(&got), "%s %s", typ, id)
	return string(got)
}

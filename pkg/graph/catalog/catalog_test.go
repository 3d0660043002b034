package catalog

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// entryOf returns the file and the line where a type's entry begins, and its name:
// messages of tests start with it.
func entryOf(t *testing.T, typ Type) string {
	t.Helper()
	for _, file := range []string{"intune.go", "entra.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if before, _, ok := bytes.Cut(text, []byte(`Name: "`+typ.Name+`", Entity`)); ok {
			return fmt.Sprintf("pkg/graph/catalog/%s:%d: %s", file, 1+bytes.Count(before, []byte("\n")), typ.Name)
		}
	}
	require.Fail(t, "an entry must begin with its Name and its Entity, in intune.go or entra.go: "+typ.Name)
	return ""
}

// workloads are those that a quota is published for.
func workloads() []string {
	return []string{
		WorkloadDeviceConfig, WorkloadDeviceConfigV2, WorkloadApplications,
		WorkloadRBAC, WorkloadConditionalAccess, WorkloadIdentity,
	}
}

func TestTypes_sound(t *testing.T) {
	t.Parallel()
	orders := make(map[string]int)
	for _, typ := range Types() {
		require.NotContains(t, orders, typ.Name, "%s: the second entry of this name", entryOf(t, typ))
		orders[typ.Name] = typ.RestoreOrder
	}
	for _, typ := range Types() {
		at := entryOf(t, typ)
		require.Contains(t, []string{"beta", "v1.0"}, typ.Version, at)
		require.Regexp(t, `^/[A-Za-z/]+[^/]$`, typ.Path, at)
		require.NotEmpty(t, typ.Entity, at)
		require.Contains(t, []string{"name", "displayName"}, typ.NameProperty, at)
		require.NotEmpty(t, typ.Marks, "%s: add Marks", at)
		require.Contains(t, workloads(), typ.Workload, at)
		require.Equal(t, http.MethodPost, typ.Create, at)
		require.Contains(t, []string{http.MethodPut, http.MethodPatch}, typ.Update, at)
		require.NotContains(t, slices.Concat(typ.ReadOnly, CommonReadOnly()), typ.NameProperty, at)
		require.Equal(t, typ.ItemRead, len(typ.Content)+len(typ.ItemOnly) > 0, "%s: ItemRead needs to say what the list leaves out, and the other way round", at)
		require.Equal(t, typ.Assignments == AssignmentsInline, strings.Contains(typ.Expand, "assignments"), "%s: expand the assignments that are read inline", at)
		require.NotZero(t, typ.RestoreOrder, at)
		for _, on := range typ.DependsOn {
			require.Contains(t, orders, on, at)
			require.Less(t, orders[on], typ.RestoreOrder, "%s: %s is restored before it", at, on)
		}
	}
	_, ok := Lookup("nonsense")
	require.False(t, ok)
}

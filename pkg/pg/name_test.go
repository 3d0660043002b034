package pg

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASpanIsNamedByTheStatementsFirstLine(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"-- store.cancelRun\n\tupdate x": "store.cancelRun",
		"\n\t-- store.a \nselect 1":      "store.a",
		"SELECT 1":                       "select",
		"begin":                          "begin",
		"":                               "",
	} {
		require.Equal(t, want, statementName(statement))
	}
}

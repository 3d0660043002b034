package run

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnInstallationSetsHowLongATypeIsKept(t *testing.T) {
	t.Parallel()
	types, err := DefaultTypes().With(`{"backup_schedule_run": {"retention_days": 30, "keep_at_least": 0, "keep_newest": false}}`)
	require.NoError(t, err)
	set, other := types["backup_schedule_run"], types["backup_verify"]
	require.Equal(t, []any{30, 0, false}, []any{set.RetentionDays, set.KeepAtLeast, set.KeepNewest})
	require.Equal(t, []any{90, 100, true}, []any{other.RetentionDays, other.KeepAtLeast, other.KeepNewest})

	for _, bad := range []string{`{"retention_days": 29}`, `{"keep_at_least": -1}`} {
		_, err := DefaultTypes().With(`{"backup_verify": ` + bad + `}`)
		require.ErrorContains(t, err, "backup_verify", bad)
	}
}

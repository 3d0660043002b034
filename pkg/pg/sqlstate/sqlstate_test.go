package sqlstate_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

func TestWhatACodeMeans(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct{ lostRace, badData, unreachable bool }{
		sqlstate.ConnectionFailure:         {unreachable: true},
		sqlstate.InvalidTextRepresentation: {badData: true},
		sqlstate.UniqueViolation:           {badData: true},
		sqlstate.SerializationFailure:      {lostRace: true},
		sqlstate.DeadlockDetected:          {lostRace: true},
		sqlstate.LockNotAvailable:          {lostRace: true},
		sqlstate.UndefinedTable:            {},
		sqlstate.TooManyConnections:        {unreachable: true},
		sqlstate.QueryCanceled:             {},
		sqlstate.CannotConnectNow:          {unreachable: true},
	} {
		err := fmt.Errorf("store: %w", &pgconn.PgError{Code: code})
		require.Equal(t, code, sqlstate.Of(err))
		require.True(t, sqlstate.Is(err, "00000", code), code)
		require.Equal(t, want.lostRace, sqlstate.LostRace(err), code)
		require.Equal(t, want.badData, sqlstate.BadData(err), code)
		require.Equal(t, want.unreachable, sqlstate.Unreachable(err), code)
	}
	for _, err := range []error{nil, errors.New("connection reset")} {
		require.Empty(t, sqlstate.Of(err))
		require.False(t, sqlstate.Is(err, sqlstate.DeadlockDetected, ""), "an error without a code has no code to compare")
		require.False(t, sqlstate.LostRace(err) || sqlstate.BadData(err) || sqlstate.Unreachable(err))
	}
}

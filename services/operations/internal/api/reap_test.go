package api_test

import (
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// A run that cannot be moved is an error of the pass, not the end of it.
func TestOneRunThatCannotBeReapedDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stuck, other := w.at(t, "expired"), w.at(t, "expired")
	owner, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	_, err = owner.Exec(t.Context(), `
		create function refuse() returns trigger language plpgsql as $$ begin raise exception 'stuck'; end $$;
		create trigger refuse before update on operation_runs for each row when (old.id = `+strconv.FormatInt(stuck.Id, 10)+`) execute function refuse()`)
	require.NoError(t, err)

	err = w.store.Reap(t.Context(), 100, func(store.Reaped) {})
	require.ErrorContains(t, err, "reap run "+strconv.FormatInt(stuck.Id, 10))
	require.Equal(t, queued, w.get(t, other.Id).Status)
	require.Equal(t, running, w.get(t, stuck.Id).Status)
}

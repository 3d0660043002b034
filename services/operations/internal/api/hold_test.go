package api_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// asOwner says a statement as the owner role, as the takeover does.
func (w *world) asOwner(t *testing.T, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func TestNothingStartsInAWorkspaceThatIsBeingTakenOver(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.asOwner(t, "insert into workspace_hold (workspace_id) values (1)")
	_, err := w.runs.StartRun(t.Context(), sync("a"))
	require.Equal(t, run.ReasonTakeoverInProgress, errs.Reason(err), "%v", err)

	elsewhere := sync("a")
	elsewhere.WorkspaceId = 2
	w.start(t, elsewhere)

	w.asOwner(t, "update workspace_hold set starts_allowed = true")
	w.start(t, sync("a"))
}

func TestRetentionLeavesAWorkspaceThatIsBeingTakenOver(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0,"keep_newest":false}`)
	w.ended(t, "inventory_sync", "failed", 3, daysAgo(100), 3)
	w.fold(t)
	w.asOwner(t, "insert into workspace_hold (workspace_id, starts_allowed) values (1, true)")
	require.Zero(t, w.retain(t, s))
	w.asOwner(t, "delete from workspace_hold")
	require.EqualValues(t, 3, w.retain(t, s))
}

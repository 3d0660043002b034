package takeover

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

// Killed again and again, a bit later each time, adopt ends where it ends when nobody
// disturbs it.
func TestAdoptEndsTheSameWhereverItIsStopped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	undisturbed := newStages(t, fixture.Options{Now: now, LooseTenants: true})
	o := AdoptOptions{Owners: owners, WorkspaceMap: map[int64]string{20: "1", 21: "2"}}
	undisturbed.adopt(o)

	w := newStages(t, fixture.Options{Now: now, LooseTenants: true})
	w.killedOver("adopt", 1, func(ctx context.Context) error {
		_, err := w.tool.Adopt(ctx, o)
		return err
	})
	require.Equal(t, undisturbed.adopted(), w.adopted())
	once := w.state()
	w.adopt(AdoptOptions{})
	require.Equal(t, once, w.state())
}

// adopted is what adopt has made, but for times and what is left to chance: a
// sequence that was advanced stays so, also where the transaction fails.
func (w *stages) adopted() string {
	w.t.Helper()
	const runs = `select string_agg(concat_ws(' ', id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context), e'\n' order by id) from operation_runs`
	const rest = `select concat_ws(e'\n',
		(select string_agg(concat_ws(' ', source, last_legacy_id, case source when 'operation_runs' then base end), ', ' order by source) from takeover_block), (select string_agg(h::text, ' ' order by workspace_id) from workspace_hold h),
		(select sum(runs) from run_stat), (select count(*) from run_event), (select string_agg(concat(run_id, key, value), ' ' order by run_id, key, value) from run_label))`
	return one[string](w.t, w.tool.target, runs) + one[string](w.t, w.tool.target, rest) + fmt.Sprint(w.registry.known)
}

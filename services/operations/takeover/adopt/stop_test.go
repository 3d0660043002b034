package adopt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

// Adopt is killed again and again, a bit later each time. It ends in the same state as when
// it is never killed.
func TestAdoptEndsTheSameWhereverItIsStopped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	undisturbed := takeovertest.New(t, fixture.Options{Now: now, LooseTenants: true})
	o := adopt.Options{Owners: takeovertest.AwkwardOwners, WorkspaceMap: map[int64]string{20: "1", 21: "2"}}
	undisturbed.Adopt(o)

	w := takeovertest.New(t, fixture.Options{Now: now, LooseTenants: true})
	w.KilledOver("adopt", 1, func(ctx context.Context) error {
		_, err := adopt.Run(ctx, w.Ledger, w.Tenancy, o)
		return err
	})
	require.Equal(t, adopted(t, undisturbed), adopted(t, w))
	once := w.State()
	w.Adopt(adopt.Options{})
	require.Equal(t, once, w.State())
}

// adopted returns what adopt has made, without times and without the bases of blocks: a
// sequence stays advanced, also if the transaction fails.
func adopted(t *testing.T, w *takeovertest.Takeover) string {
	t.Helper()
	const runs = `select string_agg(concat_ws(' ', id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context), e'\n' order by id) from operation_runs`
	const rest = `select concat_ws(e'\n',
		(select string_agg(concat_ws(' ', source, last_legacy_id, case source when 'operation_runs' then base end), ', ' order by source) from takeover_block), (select string_agg(h::text, ' ' order by workspace_id) from workspace_hold h),
		(select sum(runs) from run_stat), (select count(*) from run_event), (select string_agg(concat(run_id, key, value), ' ' order by run_id, key, value) from run_label))`
	return takeovertest.One[string](t, w.Operations, runs) + takeovertest.One[string](t, w.Operations, rest) + fmt.Sprint(w.Registry.Known)
}

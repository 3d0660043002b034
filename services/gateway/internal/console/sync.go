package console

import (
	"context"

	"github.com/a-h/templ"
	"google.golang.org/grpc/codes"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

const inventorySync = "inventory_sync"

// startSync starts a sync, or returns the run of the one that is already under way.
func (c *Console) startSync(ctx context.Context, f startForm) (*operationsv1.Run, error) {
	started, err := c.syncs.StartSync(ctx, &inventoryv1.StartSyncRequest{
		WorkspaceId: f.workspace, TenantId: f.tenant, RequestId: f.requestID, RetryOf: f.retryOf,
	})
	return started.GetRun(), err
}

// coverage is the section of a sync: how completely it read each policy type.
func (c *Console) coverage(ctx context.Context, run *operationsv1.Run) templ.Component {
	if run.TenantId == nil {
		return nil
	}
	number := run.GetId()
	known, err := c.inventory.GetCoverage(ctx, &inventoryv1.GetCoverageRequest{
		WorkspaceId: run.GetWorkspaceId(), TenantId: run.GetTenantId(), RunId: &number,
	})
	var unknown string
	switch {
	case errs.Code(err) == codes.NotFound:
		unknown = "The tenant is no longer in this workspace."
	case err != nil:
		web.Note(ctx, err)
		unknown = "Coverage can't be read just now. Reload the page in a moment."
	case len(known.GetCoverage()) == 0:
		return nil
	}
	var rows []templates.Coverage
	for _, c := range known.GetCoverage() {
		rows = append(rows, coverageOf(c))
	}
	return templates.CoverageSection(rows, unknown)
}

func coverageOf(c *inventoryv1.Coverage) templates.Coverage {
	v := templates.Coverage{
		Type: c.GetType(), Listed: words.Number(c.GetListedCount()), Read: words.Number(c.GetReadCount()),
		Failed: words.Number(c.GetFailedCount()), New: words.Number(c.GetCreatedCount()), Changed: words.Number(c.GetUpdatedCount()),
		Same: words.Number(c.GetUnchangedCount()), Gone: words.Number(c.GetRemovedCount()), Message: c.GetMessage(),
	}
	switch {
	case c.GetComplete():
		v.Badge = words.Badge{Tone: "good", Icon: "check", Word: "Complete"}
	case c.GetEndTime() == nil:
		v.Badge = words.Badge{Tone: "active", Icon: "run", Word: "Reading"}
	default:
		v.Badge = words.Badge{Tone: "bad", Icon: "part", Word: "Incomplete"}
	}
	return v
}

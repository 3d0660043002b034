package sync

import (
	"context"
	"errors"
	"fmt"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// mostAsked is how many missing objects of a type are asked for by id before they
// count as removed. A list that changes while its pages are read loses a few
// objects; if more are missing, they were deleted.
const mostAsked = 50

// confirm asks Graph by id for the objects that a complete read would remove. If
// Graph still has one of them, the list had missed it, and the read was not
// complete. The error ends the run.
func (r *reading) confirm(ctx context.Context, c item.Coverage) (item.Coverage, error) {
	if !c.Complete {
		return c, nil
	}
	ids, err := r.store.Unseen(ctx, r.read, mostAsked+1)
	switch {
	case ctx.Err() != nil:
		return c, cutShort(ctx)
	case err != nil:
		return c, stored(ctx, err)
	}
	if len(ids) == 0 || len(ids) > mostAsked {
		return c, nil
	}
	there, requests, err := r.client.Exist(ctx, r.of, ids)
	r.tally.sent(requests)
	var g *graph.Error
	switch {
	case ctx.Err() != nil:
		return c, cutShort(ctx)
	case errors.As(err, &g) && g.Class == graph.ClassTenantAuth:
		return c, r.cred.Refused(g)
	case err != nil:
		entry := failure(r.of.Name, err)
		r.failures.add(entry)
		return incomplete(c, entry.GetReason(), entry.GetMessage()), nil
	case len(there) == 0:
		return c, nil
	}
	for _, id := range there {
		r.failures.add(&operationsv1.Failure{
			Reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY, Code: graph.CodeIncomplete, Item: r.of.Name + "/" + id, Retryable: true,
			Message: "Graph's list left it out, but it is there.", Remediation: "Nothing was removed. Run again.",
		})
	}
	return incomplete(c, operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY,
		fmt.Sprintf("%d that are there were not in Graph's list: it moved while it was read.", len(there))), nil
}

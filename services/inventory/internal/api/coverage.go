package api

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// GetCoverage returns how completely each type of a tenant was read: last, or by
// one run.
func (r *reader) GetCoverage(ctx context.Context, req *inventoryv1.GetCoverageRequest) (*inventoryv1.GetCoverageResponse, error) {
	if err := r.Tenants.Exists(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	coverage, err := r.coverage(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := &inventoryv1.GetCoverageResponse{}
	for _, c := range coverage {
		resp.Coverage = append(resp.Coverage, coverageMessage(c))
	}
	return resp, nil
}

func (r *reader) coverage(ctx context.Context, req *inventoryv1.GetCoverageRequest) ([]item.Coverage, error) {
	if req.RunId != nil {
		return r.Store.RunCoverage(ctx, req.GetWorkspaceId(), req.GetTenantId(), req.GetRunId())
	}
	return r.Store.LatestCoverage(ctx, req.GetWorkspaceId(), req.GetTenantId(), r.Types)
}

func coverageMessage(c item.Coverage) *inventoryv1.Coverage {
	return &inventoryv1.Coverage{
		Type: c.Type, OperationRunId: c.RunID, Complete: c.Complete,
		ListedCount: c.Listed, ReadCount: c.Counts.Read, FailedCount: c.Failed,
		CreatedCount: c.Created, UpdatedCount: c.Updated, UnchangedCount: c.Unchanged, RemovedCount: c.Removed,
		Reason: reason(c), Message: c.Message,
		StartTime: timestamppb.New(c.Start), EndTime: timestamppb.New(c.End),
	}
}

// reason returns why a type was not read completely, and unspecified if it was.
func reason(c item.Coverage) operationsv1.FailureReason {
	if c.Reason == "" {
		return operationsv1.FailureReason_FAILURE_REASON_UNSPECIFIED
	}
	return work.Reason(c.Reason)
}

// ListPolicyTypes returns the types that can be synced.
func (r *reader) ListPolicyTypes(context.Context, *inventoryv1.ListPolicyTypesRequest) (*inventoryv1.ListPolicyTypesResponse, error) {
	return &inventoryv1.ListPolicyTypesResponse{Types: slices.Clone(r.Types)}, nil
}

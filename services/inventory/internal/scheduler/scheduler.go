// Package scheduler starts the sync of a schedule's slot. pkg/schedule decides when
// a slot is due, and sees to it that each is started once.
package scheduler

import (
	"context"

	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// Scheduler starts syncs.
type Scheduler struct {
	Worker *work.Worker
	Types  []string // the catalog
}

// Start is a [schedule.Start].
func (s *Scheduler) Start(ctx context.Context, slot schedule.Slot[item.Repeated]) (runID int64, err error) {
	selected, err := item.Select(slot.Details.Types, s.Types)
	if err != nil {
		return 0, err
	}
	about, err := structpb.NewStruct(selected.Context(slot.ID))
	if err != nil {
		return 0, err
	}
	resp, err := s.Worker.Start(ctx, &operationsv1.StartRunRequest{
		WorkspaceId: slot.WorkspaceID, TenantId: &slot.TenantID, InitiatorName: "schedule",
		Type: item.RunType, IdentityInputs: selected.Hash(), Context: about, RequestId: slot.RequestID(),
	})
	return resp.GetRun().GetId(), err
}

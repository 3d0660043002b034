package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// CreateSyncSchedule makes a schedule that repeats a sync.
func (w *writer) CreateSyncSchedule(ctx context.Context, req *inventoryv1.CreateSyncScheduleRequest) (*inventoryv1.CreateSyncScheduleResponse, error) {
	if _, err := item.Select(req.GetTypes(), w.Types); err != nil {
		return nil, err
	}
	if err := w.Tenants.ExistsNow(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	request, err := once.Of(ctx, req)
	if err != nil {
		return nil, err
	}
	s, err := w.Schedules.Create(ctx, schedule.Of(req, item.Repeated{Types: append([]string{}, req.GetTypes()...)}), request)
	if err != nil {
		return nil, err
	}
	return &inventoryv1.CreateSyncScheduleResponse{SyncSchedule: scheduleMessage(s)}, nil
}

// UpdateSyncSchedule changes a schedule.
func (w *writer) UpdateSyncSchedule(ctx context.Context, req *inventoryv1.UpdateSyncScheduleRequest) (*inventoryv1.UpdateSyncScheduleResponse, error) {
	if req.DisplayName != nil && req.GetDisplayName() == "" {
		return nil, errs.Invalid("display_name", "must not be empty; leave it out to keep it")
	}
	s, err := w.Schedules.Update(ctx, req.GetWorkspaceId(), req.GetSyncScheduleId(), schedule.Change{
		DisplayName: req.DisplayName, Cron: req.Cron, Zone: req.TimeZone, Paused: req.Paused,
	})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.UpdateSyncScheduleResponse{SyncSchedule: scheduleMessage(s)}, nil
}

// DeleteSyncSchedule ends a schedule; runs that it has started go on.
func (w *writer) DeleteSyncSchedule(ctx context.Context, req *inventoryv1.DeleteSyncScheduleRequest) (*inventoryv1.DeleteSyncScheduleResponse, error) {
	if err := w.Schedules.Delete(ctx, req.GetWorkspaceId(), req.GetSyncScheduleId()); err != nil {
		return nil, err
	}
	return &inventoryv1.DeleteSyncScheduleResponse{}, nil
}

// ListSyncSchedules returns a page of a tenant's schedules.
func (r *reader) ListSyncSchedules(ctx context.Context, req *inventoryv1.ListSyncSchedulesRequest) (*inventoryv1.ListSyncSchedulesResponse, error) {
	l, err := page.Begin[int64](r.Pages, req, "sync schedules %d %d", req.GetWorkspaceId(), req.GetTenantId())
	if err != nil {
		return nil, err
	}
	if err := r.Tenants.Exists(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	rows, err := r.Schedules.List(ctx, req.GetWorkspaceId(), req.GetTenantId(), l.Page)
	if err != nil {
		return nil, err
	}
	messages, next, err := page.Finish(l, rows, func(s syncSchedule) int64 { return s.ID }, scheduleMessage)
	return &inventoryv1.ListSyncSchedulesResponse{SyncSchedules: messages, NextPageToken: next}, err
}

type syncSchedule = schedule.Schedule[item.Repeated]

func scheduleMessage(s syncSchedule) *inventoryv1.SyncSchedule {
	return &inventoryv1.SyncSchedule{
		Id: s.ID, WorkspaceId: s.WorkspaceID, TenantId: s.TenantID, DisplayName: s.DisplayName, Types: s.Details.Types,
		Cron: s.Cron, TimeZone: s.Zone, Paused: s.Paused,
		NextSlotTime: stamp(s.Next), LastSlotTime: stamp(s.LastSlot), LastOperationRunId: s.LastRun,
		CreateTime: timestamppb.New(s.Created), UpdateTime: timestamppb.New(s.Updated),
	}
}

package api

import (
	"context"
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/schedule"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// CreateSyncSchedule repeats a sync.
func (w *writer) CreateSyncSchedule(ctx context.Context, req *inventoryv1.CreateSyncScheduleRequest) (*inventoryv1.CreateSyncScheduleResponse, error) {
	if _, err := item.Select(req.GetTypes(), w.Types); err != nil {
		return nil, err
	}
	if err := w.tenants.ask(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	digest, err := digest(ctx, req)
	if err != nil {
		return nil, err
	}
	s, err := w.Store.CreateSchedule(ctx, schedule.Schedule{
		WorkspaceID: req.GetWorkspaceId(), TenantID: req.GetTenantId(), DisplayName: req.GetDisplayName(),
		Types: append([]string{}, req.GetTypes()...), Cron: req.GetCron(), Zone: req.GetTimeZone(), Paused: req.GetPaused(),
	}, store.Request{Caller: rpc.CallerFrom(ctx).Service, ID: req.GetRequestId(), Digest: digest})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.CreateSyncScheduleResponse{SyncSchedule: scheduleMessage(s)}, nil
}

// digest is of who said what: the same request id with another is another request.
func digest(ctx context.Context, req proto.Message) ([]byte, error) {
	said, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	who, _ := actor.From(ctx) // nobody, if a service acts for itself
	sum := sha256.Sum256(fmt.Appendf(nil, "%d|%s", who.UserID, said))
	return sum[:], nil
}

// UpdateSyncSchedule changes a schedule.
func (w *writer) UpdateSyncSchedule(ctx context.Context, req *inventoryv1.UpdateSyncScheduleRequest) (*inventoryv1.UpdateSyncScheduleResponse, error) {
	if req.DisplayName != nil && req.GetDisplayName() == "" {
		return nil, errs.Invalid("display_name", "must not be empty; leave it out to keep it")
	}
	s, err := w.Store.UpdateSchedule(ctx, req.GetWorkspaceId(), req.GetSyncScheduleId(), schedule.Change{
		DisplayName: req.DisplayName, Cron: req.Cron, Zone: req.TimeZone, Paused: req.Paused,
	})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.UpdateSyncScheduleResponse{SyncSchedule: scheduleMessage(s)}, nil
}

// DeleteSyncSchedule ends a schedule; runs it started go on.
func (w *writer) DeleteSyncSchedule(ctx context.Context, req *inventoryv1.DeleteSyncScheduleRequest) (*inventoryv1.DeleteSyncScheduleResponse, error) {
	if err := w.Store.DeleteSchedule(ctx, req.GetWorkspaceId(), req.GetSyncScheduleId()); err != nil {
		return nil, err
	}
	return &inventoryv1.DeleteSyncScheduleResponse{}, nil
}

// ListSyncSchedules answers a page of a tenant's schedules.
func (r *reader) ListSyncSchedules(ctx context.Context, req *inventoryv1.ListSyncSchedulesRequest) (*inventoryv1.ListSyncSchedulesResponse, error) {
	var after int64
	p := paging{pages: r.Pages, binding: fmt.Sprintf("sync schedules %d %d", req.GetWorkspaceId(), req.GetTenantId())}
	size, err := p.open(req, &after)
	if err != nil {
		return nil, err
	}
	if err := r.tenants.exists(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	schedules, err := r.Store.Schedules(ctx, req.GetWorkspaceId(), req.GetTenantId(), after, size+1)
	if err != nil {
		return nil, err
	}
	resp := &inventoryv1.ListSyncSchedulesResponse{}
	if len(schedules) > size {
		schedules = schedules[:size]
		if resp.NextPageToken, err = p.next(schedules[size-1].ID); err != nil {
			return nil, err
		}
	}
	for _, s := range schedules {
		resp.SyncSchedules = append(resp.SyncSchedules, scheduleMessage(s))
	}
	return resp, nil
}

func scheduleMessage(s schedule.Schedule) *inventoryv1.SyncSchedule {
	return &inventoryv1.SyncSchedule{
		Id: s.ID, WorkspaceId: s.WorkspaceID, TenantId: s.TenantID, DisplayName: s.DisplayName, Types: s.Types,
		Cron: s.Cron, TimeZone: s.Zone, Paused: s.Paused,
		NextSlotTime: stamp(s.Next), LastSlotTime: stamp(s.LastSlot), LastOperationRunId: s.LastRun,
		CreateTime: timestamppb.New(s.Created), UpdateTime: timestamppb.New(s.Updated),
	}
}

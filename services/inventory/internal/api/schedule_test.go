package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	w := setup(t)
	create := &inventoryv1.CreateSyncScheduleRequest{
		WorkspaceId: workspaceID, TenantId: tenantID, DisplayName: "nightly", Cron: "0 3 * * *", TimeZone: "Europe/Berlin", RequestId: "r1",
	}
	made, err := w.writer.CreateSyncSchedule(t.Context(), create)
	require.NoError(t, err)
	require.NotNil(t, made.GetSyncSchedule().GetNextSlotTime())
	again, err := w.writer.CreateSyncSchedule(t.Context(), create)
	require.NoError(t, err)
	require.Equal(t, made.GetSyncSchedule().GetId(), again.GetSyncSchedule().GetId())
	create.Cron = "0 4 * * *"
	_, err = w.writer.CreateSyncSchedule(t.Context(), create)
	refused(t, err, codes.InvalidArgument, "request_id")
	require.Equal(t, "REQUEST_ID_REUSED", errs.Reason(err))

	paused, id := true, made.GetSyncSchedule().GetId()
	changed, err := w.writer.UpdateSyncSchedule(t.Context(), &inventoryv1.UpdateSyncScheduleRequest{WorkspaceId: workspaceID, SyncScheduleId: id, Paused: &paused})
	require.NoError(t, err)
	require.Nil(t, changed.GetSyncSchedule().GetNextSlotTime())
	require.Equal(t, "0 3 * * *", changed.GetSyncSchedule().GetCron())
	list, err := w.reader.ListSyncSchedules(t.Context(), &inventoryv1.ListSyncSchedulesRequest{WorkspaceId: workspaceID, TenantId: tenantID})
	require.NoError(t, err)
	require.Len(t, list.GetSyncSchedules(), 1)

	_, err = w.writer.UpdateSyncSchedule(t.Context(), &inventoryv1.UpdateSyncScheduleRequest{WorkspaceId: workspaceID, SyncScheduleId: id, DisplayName: new(string)})
	refused(t, err, codes.InvalidArgument, "display_name")
	_, err = w.writer.UpdateSyncSchedule(t.Context(), &inventoryv1.UpdateSyncScheduleRequest{WorkspaceId: elsewhere, SyncScheduleId: id, Paused: &paused})
	refused(t, err, codes.NotFound, "")
	_, err = w.writer.DeleteSyncSchedule(t.Context(), &inventoryv1.DeleteSyncScheduleRequest{WorkspaceId: workspaceID, SyncScheduleId: id})
	require.NoError(t, err)
	_, err = w.writer.DeleteSyncSchedule(t.Context(), &inventoryv1.DeleteSyncScheduleRequest{WorkspaceId: workspaceID, SyncScheduleId: id})
	refused(t, err, codes.NotFound, "")
}

// A request id belongs to its user: another user with the same id gets no response of
// the first.
func TestARequestIDIsOneUsers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	create := &inventoryv1.CreateSyncScheduleRequest{
		WorkspaceId: workspaceID, TenantId: tenantID, DisplayName: "nightly", Cron: "0 3 * * *", TimeZone: "UTC", RequestId: "r1",
	}
	as := func(user int64) inventoryv1.InventoryServiceClient {
		a := actor.Actor{UserID: user, Memberships: []actor.Membership{{WorkspaceID: workspaceID, Role: actor.Owner}}}
		return inventoryv1.NewInventoryServiceClient(w.server.DialActor(t, "gateway", a))
	}
	_, err := as(1).CreateSyncSchedule(t.Context(), create)
	require.NoError(t, err)
	_, err = as(2).CreateSyncSchedule(t.Context(), create)
	require.Equal(t, "REQUEST_ID_REUSED", errs.Reason(err), "%v", err)
}

func TestSchedulesRefuse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tests := map[string]struct{ name, cron, zone, typ, field string }{
		"no name":         {cron: "0 3 * * *", zone: "UTC", field: "display_name"},
		"no expression":   {name: "n", cron: "every day", zone: "UTC", field: "cron"},
		"31 February":     {name: "n", cron: "0 0 31 2 *", zone: "UTC", field: "cron"},
		"no zone":         {name: "n", cron: "0 3 * * *", zone: "Nowhere", field: "time_zone"},
		"no type of ours": {name: "n", cron: "0 3 * * *", zone: "UTC", typ: "x", field: "types[0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := &inventoryv1.CreateSyncScheduleRequest{WorkspaceId: workspaceID, TenantId: tenantID, DisplayName: tt.name, Cron: tt.cron, TimeZone: tt.zone}
			if tt.typ != "" {
				req.Types = []string{tt.typ}
			}
			_, err := w.writer.CreateSyncSchedule(t.Context(), req)
			refused(t, err, codes.InvalidArgument, tt.field)
		})
	}
}

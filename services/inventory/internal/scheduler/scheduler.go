// Package scheduler starts the syncs of schedules, once per slot, with any
// number of replicas and through any crash: a slot is first taken in the
// database, then its run is started under a request id made of the slot. It
// does not work on runs.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// Scheduler starts the runs of slots. Every replica has its own.
type Scheduler struct {
	Store  *store.Store
	Worker *work.Worker
	Types  []string // the catalog
	Log    *slog.Logger
}

// Pass takes the slots that are due and starts all that are taken and not
// started. The next pass tries again what failed.
func (s *Scheduler) Pass(ctx context.Context) error {
	if _, err := s.Store.TakeSlots(ctx); err != nil {
		return err
	}
	pending, err := s.Store.PendingSlots(ctx)
	if err != nil {
		return err
	}
	for _, p := range pending {
		if err := s.startOrLetGo(ctx, p); err != nil {
			s.Log.WarnContext(ctx, "slot not started", "sync_schedule_id", p.ID, "slot_time", p.Slot, "err", err)
		}
	}
	return nil
}

// startOrLetGo does not try again what can never work as it is: it would be in
// the way of the slots behind it. The schedule's next slot is not concerned.
func (s *Scheduler) startOrLetGo(ctx context.Context, p store.Pending) error {
	err := s.start(ctx, p)
	if errs.Code(err) != codes.InvalidArgument {
		return err
	}
	return errors.Join(err, s.Store.LetGo(ctx, p))
}

// start says the same for the same slot however often, so operations starts it once.
func (s *Scheduler) start(ctx context.Context, p store.Pending) error {
	selected, err := item.Select(p.Types, s.Types)
	if err != nil {
		return err
	}
	about, err := structpb.NewStruct(selected.Context(p.ID))
	if err != nil {
		return err
	}
	resp, err := s.Worker.Start(ctx, &operationsv1.StartRunRequest{
		WorkspaceId: p.WorkspaceID, TenantId: &p.TenantID, InitiatorName: "schedule",
		Type: item.RunType, IdentityInputs: selected.Hash(), Context: about,
		RequestId: fmt.Sprintf("schedule:%d:%s", p.ID, p.Slot.UTC().Format("2006-01-02T15:04:05+00:00")),
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "slot started", "sync_schedule_id", p.ID, "slot_time", p.Slot,
		"run_id", resp.GetRun().GetId(), "started", resp.GetStarted())
	return s.Store.SlotStarted(ctx, p, resp.GetRun().GetId())
}

// Package api is the gRPC face of operations: it checks what proto rules can't
// say and turns wire into domain and back. It decides nothing about runs.
package api

import (
	"context"

	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

// Register serves operations on s; hub is of the same store.
func Register(s grpc.ServiceRegistrar, st *store.Store, types run.Types, pages *page.Sealer, hub *watch.Hub) {
	operationsv1.RegisterRunServiceServer(s, &writer{store: st, types: types, pages: pages})
	operationsv1.RegisterRunReaderServiceServer(s, &reader{store: st, types: types, pages: pages, hub: hub})
}

// visible answers run id if the end user behind the call, if any, may see it:
// malformed, missing and foreign are the same NOT_FOUND.
func visible(ctx context.Context, st *store.Store, id int64) (*run.Run, error) {
	if id <= 0 {
		return nil, errs.NotFound("run")
	}
	r, err := st.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return r, rpc.Authorize(ctx, r.WorkspaceID)
}

// authorizeMove checks the end user behind a worker's call, if any; workers
// themselves act for their service, which the store holds against the run's type.
func authorizeMove(ctx context.Context, st *store.Store, id int64) error {
	if _, ok := actor.From(ctx); !ok {
		return nil
	}
	_, err := visible(ctx, st, id)
	return err
}

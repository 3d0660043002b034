// Package api is the gRPC API of operations. It checks what rules in the protos cannot
// express, and converts messages to the domain and back. It decides nothing about runs.
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
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

// Parts are what the API is made of; all stores are of one database.
type Parts struct {
	Runs       *store.Store
	Statistics *statistics.Store
	Retention  *retention.Store
	Types      run.Types
	Pages      *page.Sealer
	Hub        *watch.Hub // of Runs
}

// Register registers the services of operations with s.
func Register(s grpc.ServiceRegistrar, p Parts) {
	operationsv1.RegisterRunServiceServer(s, &writer{store: p.Runs, types: p.Types, pages: p.Pages})
	operationsv1.RegisterRunReaderServiceServer(s, &reader{
		store: p.Runs, statistics: p.Statistics, retention: p.Retention, types: p.Types, pages: p.Pages, hub: p.Hub,
	})
}

// visible returns run id. If the call is made for an end user who must not see the run,
// the error is the same NOT_FOUND as for an id that is malformed or does not exist.
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

// authorizeMove checks that the end user for whom the call is made may move run id. A
// worker calls for no user; the store checks that its service owns the type of the run.
func authorizeMove(ctx context.Context, st *store.Store, id int64) error {
	if _, ok := actor.From(ctx); !ok {
		return nil
	}
	_, err := visible(ctx, st, id)
	return err
}

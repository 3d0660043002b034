package work

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

const (
	callTimeout = 5 * time.Second        // of one try
	firstPause  = 100 * time.Millisecond // between tries, doubled each time
	lastPause   = 2 * time.Second
)

// persist repeats a call until it succeeds, or fails in a way that a repetition would
// not change, or the given moment has passed. It makes at least one try.
func persist(ctx context.Context, until time.Time, call func(context.Context) error) error {
	if soonest := time.Now().Add(callTimeout); until.Before(soonest) {
		until = soonest
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err := try(ctx, call)
		if err == nil || notOurs(err) || refused(err) || pause.For(ctx, wait) != nil {
			return err
		}
	}
}

func try(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return errs.FromStatus(call(ctx))
}

// notOurs reports whether err says that this process may not work on the run, or may
// no longer: another holds it, it has ended, or it does not exist.
func notOurs(err error) bool {
	return errs.Code(err) == codes.NotFound || errs.HasReason(err, operationsv1.RunReason_RUN_REASON_LEASE_HELD,
		operationsv1.RunReason_RUN_REASON_LEASE_LOST, operationsv1.RunReason_RUN_REASON_RUN_COMPLETED)
}

// refused reports whether err says that the request can never work as written. Any
// other error may pass while the lease lasts, for example a restart of operations or
// of its database, so the call is repeated.
func refused(err error) bool { return errs.Code(err) == codes.InvalidArgument }

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

// persist repeats a call until it is answered or refused for good, or until the
// given moment; be that past, one try is made all the same.
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

// notOurs reports whether err says that the run is not ours to work on, or no more.
func notOurs(err error) bool {
	return errs.Code(err) == codes.NotFound || errs.HasReason(err, operationsv1.RunReason_RUN_REASON_LEASE_HELD,
		operationsv1.RunReason_RUN_REASON_LEASE_LOST, operationsv1.RunReason_RUN_REASON_RUN_COMPLETED)
}

// refused reports whether err says that the request can never work as written.
// Everything else is waited out: whatever ails operations, its restart or its
// database's, may pass while the lease lasts, and giving up early helps nobody.
func refused(err error) bool { return errs.Code(err) == codes.InvalidArgument }

package rpc

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

// told returns the error that the caller sees: err itself if the caller can act on
// it, else one that only says whose fault it was: ours, a missing dependency's, or a
// deadline's.
func told(ctx context.Context, err error) *errs.Error {
	err = errs.FromStatus(err)
	if e, ok := errs.Relayed(err); ok {
		return e
	}
	if _, ours := errs.As(err); ours {
		return errs.Internal(err)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, context.Canceled):
		return errs.Ended(codes.Canceled, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded), sqlstate.Is(err, sqlstate.QueryCanceled):
		return errs.Ended(codes.DeadlineExceeded, err)
	case sqlstate.LostRace(err):
		return errs.Aborted("LOST_RACE", "another call was in the way; try again").Wrap(err)
	case missingPart(err):
		return errs.Unavailable("UNAVAILABLE", "a part of the service is not available just now; try again").Wrap(err)
	}
	return errs.Internal(err)
}

// missingPart reports that a connection could not be made or was lost: a
// database that restarts, for one.
func missingPart(err error) bool {
	if sqlstate.Unreachable(err) {
		return true
	}
	type unsent interface {
		error
		SafeToRetry() bool
	}
	if e, ok := errors.AsType[unsent](err); ok && e.SafeToRetry() {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF)
}

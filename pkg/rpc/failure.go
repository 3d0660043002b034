package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// told is what the caller is told of err: what it says, if the caller can act
// on it, else only that it was our fault, or that its time or a part of ours
// was missing.
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
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded), overran(err):
		return errs.Ended(codes.DeadlineExceeded, err)
	case lostRace(err):
		return errs.Aborted("LOST_RACE", "another call was in the way; try again").Wrap(err)
	case missingPart(err):
		return errs.Unavailable("UNAVAILABLE", "a part of the service is not available just now; try again").Wrap(err)
	}
	return errs.Internal(err)
}

// sqlState is the code of a PostgreSQL error in err, or "". It is read off the
// method that such errors have: callers without a database need no driver.
func sqlState(err error) string {
	type stated interface {
		error
		SQLState() string
	}
	if e, ok := errors.AsType[stated](err); ok {
		return e.SQLState()
	}
	return ""
}

// lostRace reports a serialization failure, a deadlock, or a lock that was not
// free in time.
func lostRace(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "55P03":
		return true
	}
	return false
}

// overran reports a statement that the database ended for taking too long.
func overran(err error) bool { return sqlState(err) == "57014" }

// missingPart reports that a connection could not be made or was lost: a
// database that restarts, for one.
func missingPart(err error) bool {
	state := sqlState(err)
	if strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") || strings.HasPrefix(state, "53") {
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

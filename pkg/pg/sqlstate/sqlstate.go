// Package sqlstate names PostgreSQL's error codes and reports what a code means for the
// caller, for example whether the statement may be sent again. No other package writes
// a code as text. The package imports no driver, so that a program without a database
// can use it, too.
package sqlstate

import (
	"errors"
	"slices"
	"strings"
)

// The codes that our code or a test of it names; all are listed in
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	ConnectionFailure         = "08006"
	InvalidTextRepresentation = "22P02"
	ForeignKeyViolation       = "23503"
	UniqueViolation           = "23505"
	CheckViolation            = "23514"
	SerializationFailure      = "40001"
	DeadlockDetected          = "40P01"
	InsufficientPrivilege     = "42501"
	UndefinedColumn           = "42703"
	UndefinedTable            = "42P01"
	TooManyConnections        = "53300"
	LockNotAvailable          = "55P03" // a lock was not free within lock_timeout
	QueryCanceled             = "57014" // mostly by statement_timeout
	AdminShutdown             = "57P01"
	CrashShutdown             = "57P02"
	CannotConnectNow          = "57P03" // the server starts or recovers
)

// Of returns the code of a PostgreSQL error in err, or "".
func Of(err error) string {
	type coded interface { // as pgconn.PgError is
		error
		SQLState() string
	}
	if e, ok := errors.AsType[coded](err); ok {
		return e.SQLState()
	}
	return ""
}

// Is reports whether err is a PostgreSQL error with one of codes.
func Is(err error, codes ...string) bool {
	code := Of(err)
	return code != "" && slices.Contains(codes, code)
}

// LostRace reports whether another transaction was in the way: nothing was
// changed, and the same transaction may succeed if it is repeated.
func LostRace(err error) bool {
	return Is(err, SerializationFailure, DeadlockDetected, LockNotAvailable)
}

// BadData reports whether a value or a row is not acceptable (classes 22 and 23):
// nothing was changed, and the same statement fails again if it is repeated.
func BadData(err error) bool { return inClass(err, "22", "23") }

// Unreachable reports whether the server could not take the statement: the
// connection failed (class 08), the server has no room (53), or it is shutting down
// or starting (57P).
func Unreachable(err error) bool { return inClass(err, "08", "53", "57P") }

func inClass(err error, classes ...string) bool {
	code := Of(err)
	return slices.ContainsFunc(classes, func(class string) bool { return strings.HasPrefix(code, class) })
}

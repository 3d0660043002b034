package query

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// Crowded reports whether a statement failed only because others used the same rows or
// tables. It changed nothing and may be tried again.
func Crowded(err error) bool {
	return hasCode(err,
		"55P03", // lock not available
		"40P01", // deadlock detected
		"40001", // serialization failure
	)
}

// Violated reports whether a statement failed because rows violate a constraint.
func Violated(err error) bool {
	return hasCode(err,
		"23503", // foreign key
		"23514", // check
	)
}

// Lacking reports whether a statement failed because a table or a column does not exist.
func Lacking(err error) bool {
	return hasCode(err,
		"42P01", // undefined table
		"42703", // undefined column
	)
}

func hasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, e.Code)
}

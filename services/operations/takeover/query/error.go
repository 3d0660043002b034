package query

import (
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

// Crowded reports whether a statement failed only because others used the same rows or
// tables. It changed nothing and may be tried again.
func Crowded(err error) bool { return sqlstate.LostRace(err) }

// Violated reports whether a statement failed because rows violate a constraint.
func Violated(err error) bool {
	return sqlstate.Is(err, sqlstate.ForeignKeyViolation, sqlstate.CheckViolation)
}

// Lacking reports whether a statement failed because a table or a column does not exist.
func Lacking(err error) bool {
	return sqlstate.Is(err, sqlstate.UndefinedTable, sqlstate.UndefinedColumn)
}

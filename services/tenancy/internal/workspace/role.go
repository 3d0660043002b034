package workspace

import "slices"

// Role is what a member may do in a workspace.
type Role string

// The four roles, from least to most.
const (
	Readonly Role = "readonly"
	Operator Role = "operator"
	Manager  Role = "manager"
	Owner    Role = "owner"
)

func (r Role) rank() int { return slices.Index([]Role{Readonly, Operator, Manager, Owner}, r) }

// Valid reports whether r is one of the four roles.
func (r Role) Valid() bool { return r.rank() >= 0 }

// Above reports whether r may do more than other.
func (r Role) Above(other Role) bool { return r.rank() > other.rank() }

// Least returns the lesser of two roles. A token may do what both its own role and
// its user's role allow.
func Least(a, b Role) Role {
	if a.Above(b) {
		return b
	}
	return a
}

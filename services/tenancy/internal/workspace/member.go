package workspace

import (
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// By is who makes a change.
type By struct {
	Service   string // the calling service, by its certificate
	UserID    int64  // the end user; 0 if the service acts for itself
	Name      string // the end user's name, for the audit trail
	Role      Role   // what they may do in the workspace concerned
	RequestID string // ties the change to the log lines of its call
}

// Member is a user in a workspace.
type Member struct {
	WorkspaceID int64
	UserID      int64
	DisplayName string
	Email       string
	Role        Role
	CreatedAt   time.Time
	ClaimedAt   *time.Time // nil: imported, and nobody may act as the user yet
	Issuer      string     // the identity an imported user was claimed for
	Subject     string
	LegacyID    *int64 // of an imported user
}

// Grant returns an error if by may not give somebody the role: nobody can give more
// than they have.
func (b By) Grant(role Role) error {
	if role.Above(b.Role) {
		return errs.Denied("ROLE_ABOVE_OWN", "%s is above your own role, %s", role, b.Role).With("role", string(role))
	}
	return nil
}

// Administer returns an error if by may not change members. The call was already
// checked, but by a token that may be older than the last change of the user's role.
func (b By) Administer() error {
	if b.Role != Owner {
		return errs.Denied("CAPABILITY_MISSING", "your role does not include ADMINISTER").With("capability", "ADMINISTER")
	}
	return nil
}

// SetRole gives m another role and reports whether that changed anything.
// owners is how many owners the workspace has.
func (m *Member) SetRole(by By, role Role, owners int) (bool, error) {
	if err := by.Grant(role); err != nil {
		return false, err
	}
	switch {
	case m.Role == role:
		return false, nil
	case m.Role == Owner && owners <= 1:
		return false, lastOwner()
	case m.UserID == by.UserID:
		return false, errs.Denied("OWN_ROLE", "your own role is changed by another owner")
	}
	m.Role = role
	return true, nil
}

// Leave returns an error if m may not be removed from a workspace with that many
// owners.
func (m *Member) Leave(owners int) error {
	if m.Role == Owner && owners <= 1 {
		return lastOwner()
	}
	return nil
}

func lastOwner() error {
	return errs.Conflict("LAST_OWNER", "the last owner of a workspace stays its owner; make another member owner first")
}

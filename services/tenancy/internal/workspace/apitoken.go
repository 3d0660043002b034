package workspace

import (
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	defaultTokenLife = 90 * 24 * time.Hour
	maxTokenLife     = 365 * 24 * time.Hour
)

// APIToken lets a program act as a user in one workspace.
type APIToken struct {
	ID          int64
	WorkspaceID int64
	UserID      int64
	DisplayName string
	KeyID       string // the visible part of the token
	MaxRole     Role   // the token never has more than this role, whatever its user's role is
	ExpiresAt   time.Time
	RevokedAt   *time.Time
	LastUsedAt  *time.Time
	CreatedAt   time.Time
}

// Holder is the user whom a token stands for, in the token's workspace.
type Holder struct {
	User        User
	WorkspaceID int64
	Role        Role // the lesser of the user's and the token's
}

// TokenExpiry returns when a token that is made now ends: at the time asked for, which
// must be within a year, or in 90 days if none was asked for.
func TokenExpiry(asked *time.Time, now time.Time) (time.Time, error) {
	switch {
	case asked == nil:
		return now.Add(defaultTokenLife), nil
	case !asked.After(now):
		return time.Time{}, errs.Invalid("expire_time", "must be in the future")
	case asked.After(now.Add(maxTokenLife)):
		return time.Time{}, errs.Invalid("expire_time", "must not be more than 365 days away")
	}
	return *asked, nil
}

// TokenRole returns the highest role of a new token: the one asked for, or the user's
// if none was asked for. It is never higher than the role of by or of the user.
func TokenRole(by By, user Member, asked Role) (Role, error) {
	if asked == "" {
		return Least(by.Role, user.Role), nil
	}
	if err := by.Grant(asked); err != nil {
		return "", err
	}
	if asked.Above(user.Role) {
		return "", errs.Denied("ROLE_ABOVE_OWN", "%s is above the role of the token's user, %s", asked, user.Role).With("role", string(asked))
	}
	return asked, nil
}

// Package workspace is who is who: workspaces, users, members with their roles
// and API tokens, and the rules of giving and taking roles. It stores nothing
// and knows no wire format.
package workspace

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const maxName = 200

// Workspace is one customer's or team's room; nothing reaches across it.
type Workspace struct {
	ID          int64
	DisplayName string
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// User is a person, or an automation acting as one.
type User struct {
	ID          int64
	DisplayName string
	Email       string // for people; never used to recognise a user
	CreatedAt   time.Time
}

// Name is a display name without the blanks around it, or Invalid naming field
// if nothing is left of it, it is too long, or it is more than one line.
func Name(field, text string) (string, error) {
	name := strings.TrimSpace(text)
	switch {
	case name == "":
		return "", errs.Invalid(field, "must not be blank")
	case utf8.RuneCountInString(name) > maxName:
		return "", errs.Invalid(field, "must not be longer than %d characters", maxName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", errs.Invalid(field, "must not contain control characters")
	}
	return name, nil
}

// Package workspace is the domain of workspaces: users, members with their roles,
// API tokens, and the rules of giving and taking roles. It stores nothing and knows
// no message format.
package workspace

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const maxName = 200

// Workspace belongs to one customer or team. Nothing reaches from one workspace into
// another.
type Workspace struct {
	ID          int64
	DisplayName string
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// User is a person, or a program that acts as one.
type User struct {
	ID          int64
	DisplayName string
	Email       string // for people; never used to recognise a user
	CreatedAt   time.Time
}

// Name returns a display name without the blanks around it. It returns Invalid,
// which names the field, if nothing is left, or if the name is too long or has more
// than one line.
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

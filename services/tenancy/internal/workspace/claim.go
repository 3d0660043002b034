package workspace

import (
	"net/mail"
	"net/url"
	"strings"
	"unicode"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Identity is a user as an identity provider knows them: the provider's issuer, and
// its name for the user. The zero value belongs to nobody.
type Identity struct{ Issuer, Subject string }

// NewIdentity returns an identity as OpenID Connect allows it, or Invalid, which
// names the wrong part. It refuses an e-mail address as a subject: whoever got that
// address later would be the user.
func NewIdentity(issuer, subject string) (Identity, error) {
	if err := checkIssuer(issuer); err != nil {
		return Identity{}, err
	}
	switch mail, err := mail.ParseAddress(subject); {
	case strings.ContainsFunc(subject, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || unicode.IsControl(r) }):
		return Identity{}, errs.Invalid("identity.subject", "must be ASCII characters without blanks: the provider's id of the user (sub)")
	case err == nil && mail.Address == subject:
		return Identity{}, errs.Invalid("identity.subject", "must be the provider's id of the user (sub), not an e-mail address")
	}
	return Identity{Issuer: issuer, Subject: subject}, nil
}

func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return errs.Invalid("identity.issuer", "must be the https address of an identity provider")
	case u.User != nil || strings.ContainsAny(issuer, "?#"):
		return errs.Invalid("identity.issuer", "must not have a user, a query or a fragment")
	}
	return nil
}

// Identity returns the identity that m was claimed for.
func (m *Member) Identity() Identity { return Identity{Issuer: m.Issuer, Subject: m.Subject} }

// Claimed reports whether anybody may act as m.
func (m *Member) Claimed() bool { return m.ClaimedAt != nil }

// Acts refuses a change that is made in the name of m while m is not claimed.
func (m *Member) Acts() error {
	if m.Claimed() {
		return nil
	}
	return errs.Conflict("USER_UNCLAIMED",
		"the user was imported and nobody has claimed them yet: an owner says first which identity they are (ClaimUser)")
}

// Claim sets the identity of m and reports whether that changed anything. elsewhere
// tells whether the user also belongs to a workspace that by does not own: then by
// must not decide who the user is.
func (m *Member) Claim(by By, id Identity, elsewhere bool) (bool, error) {
	switch {
	case m.Claimed() && m.Identity() == id:
		return false, nil
	case m.Claimed() && m.LegacyID == nil:
		return false, errs.Conflict("USER_CLAIMED", "the user was made here, there is nothing to claim")
	case m.Claimed():
		return false, errs.Conflict("USER_CLAIMED", "the user was claimed for another identity")
	case elsewhere && by.UserID != 0:
		return false, errs.Denied("USER_BELONGS_ELSEWHERE", "the user also belongs to a workspace you do not own: the platform's operator claims them")
	}
	m.Issuer, m.Subject = id.Issuer, id.Subject
	return true, nil
}

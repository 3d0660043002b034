// Package tenant is a Microsoft 365 tenant of a workspace, and what is needed to
// sign in to it. It stores nothing and signs in nowhere.
package tenant

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Tenant is one Microsoft 365 tenant managed in a workspace.
type Tenant struct {
	ID            int64
	WorkspaceID   int64
	DisplayName   string
	DirectoryID   string // Microsoft's tenant id, a GUID in lower case; never changes
	PrimaryDomain string
	Cloud         Cloud // never changes
	Connection    *Connection
	Revision      int64 // one more with every change
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Connection is how we sign in to a tenant, as far as people may see it.
type Connection struct {
	ClientID        string
	SecretSetAt     time.Time
	SecretExpiresAt *time.Time // as the person who set it stated it
}

// Credential is how we sign in, with the secret sealed.
type Credential struct {
	ClientID        string
	Sealed          []byte
	SecretExpiresAt *time.Time
}

// Etag returns a text that changes with every change of t.
func (t *Tenant) Etag() string { return "r" + strconv.FormatInt(t.Revision, 10) }

// Change renames t; an empty name stays as it is. It reports whether anything
// changed. It refuses if etag is not empty and t has changed since etag was read.
func (t *Tenant) Change(name, domain, etag string) (bool, error) {
	if etag != "" && etag != t.Etag() {
		return false, errs.Aborted("ETAG_MISMATCH", "the tenant was changed meanwhile; read it again").With("etag", t.Etag())
	}
	before := *t
	if name != "" {
		t.DisplayName = name
	}
	if domain != "" {
		t.PrimaryDomain = domain
	}
	return t.DisplayName != before.DisplayName || t.PrimaryDomain != before.PrimaryDomain, nil
}

// Directory returns a directory id in the spelling that is stored, lower case, or
// Invalid if it is not a GUID.
func Directory(id string) (string, error) {
	lower := strings.ToLower(id)
	if !guid.MatchString(lower) {
		return "", errs.Invalid("directory_id", "must be a GUID, such as 9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90")
	}
	return lower, nil
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Binding returns the binding of a tenant's sealed secret: a secret that was copied
// into another tenant's row cannot be opened.
func Binding(workspaceID, tenantID int64) string {
	return fmt.Sprintf("tenantpilot/graph_connection|%d|%d|client_secret", workspaceID, tenantID)
}

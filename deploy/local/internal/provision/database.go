package provision

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

// MakeDatabases makes the two roles and the database of every service on the
// server of superuser, a URL whose role may create both.
func MakeDatabases(ctx context.Context, superuser string, k Keys) error {
	for _, name := range roster.Names(roster.Stores()) {
		owner, err := password(k.File(name, "owner.pgpass"))
		if err != nil {
			return err
		}
		app, err := password(k.File(name, "app.pgpass"))
		if err != nil {
			return err
		}
		if err := pg.EnsureRolesAndDatabase(ctx, superuser, name, owner, app); err != nil {
			return fmt.Errorf("database of %s: %w", name, err)
		}
	}
	return nil
}

// OwnerURL returns the URL of a service's database for the owner of its tables.
func (k Keys) OwnerURL(superuser, service string) (string, error) {
	return roleURL(superuser, service, service+"_owner", k.File(service, "owner.pgpass"))
}

// AppURL returns the URL of a service's database for the service itself.
func (k Keys) AppURL(superuser, service string) (string, error) {
	return roleURL(superuser, service, service+"_app", k.File(service, "app.pgpass"))
}

// roleURL returns a URL of superuser's server for another role. The password stays
// in its file, because URLs end up in environments and process lists.
func roleURL(superuser, service, role, passfile string) (string, error) {
	u, err := url.Parse(superuser)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// The text of err would repeat the URL, and with it a password.
		return "", fmt.Errorf("DATABASE_URL must be a URL: postgres://user:password@host:port/database")
	}
	u.User = url.User(role)
	u.Path = "/tenantpilot_" + service
	q := u.Query()
	q.Del("user")
	q.Del("password")
	q.Set("passfile", passfile)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func password(passfile string) (string, error) {
	line, err := os.ReadFile(passfile)
	if err != nil {
		return "", err
	}
	fields := strings.Split(strings.TrimSpace(string(line)), ":")
	if len(fields) != 5 {
		return "", fmt.Errorf("%s: want host:port:database:role:password", passfile)
	}
	return fields[4], nil
}

package provision

import (
	"context"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

func TestKeysAreFoundAgainAndKeptFromOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := MakeKeys(dir); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if _, err := MakeKeys(dir); err != nil {
		t.Fatal(err)
	}
	for file, text := range contents(t, dir) {
		if before[file] != text {
			t.Errorf("%s was made anew", file)
		}
	}
	for _, file := range []string{"gateway/actor-key.pem", "tenancy/master.key", "operations/owner.pgpass", "operator/key.pem", "takeover/key.pem", "postgres/password"} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", file, info.Mode().Perm())
		}
	}
	for file := range before {
		if strings.HasSuffix(file, "actor-key.pem") && file != "gateway/actor-key.pem" && !strings.HasPrefix(file, "ca/") {
			t.Errorf("%s: only the gateway signs for users", file)
		}
	}
}

func TestALostKeyIsReplacedEverywhere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := MakeKeys(dir); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "ca")); err != nil {
		t.Fatal(err)
	}
	if _, err := MakeKeys(dir); err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	for _, name := range roster.Certificates() {
		if after[name+"/ca.pem"] == before[name+"/ca.pem"] || after[name+"/ca.pem"] != after["ca/ca.pem"] {
			t.Errorf("%s does not trust the new authority", name)
		}
		if after[name+"/cert.pem"] == before[name+"/cert.pem"] {
			t.Errorf("%s kept a certificate of the old authority", name)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestRoleURL(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ superuser, want string }{
		"tcp with a password": {
			superuser: "postgres://boss:secret@db:5433/postgres?sslmode=require",
			want:      "postgres://tenancy_app@db:5433/tenantpilot_tenancy?passfile=%2Fk%2Ftenancy%2Fapp.pgpass&sslmode=require",
		},
		"socket": {
			superuser: "postgres://postgres@/postgres?host=%2Frun%2Fpg&port=7432",
			want:      "postgres://tenancy_app@/tenantpilot_tenancy?host=%2Frun%2Fpg&passfile=%2Fk%2Ftenancy%2Fapp.pgpass&port=7432",
		},
		"password as a parameter": {
			superuser: "postgresql:///x?user=boss&password=secret&host=db",
			want:      "postgresql://tenancy_app@/tenantpilot_tenancy?host=db&passfile=%2Fk%2Ftenancy%2Fapp.pgpass",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := KeysIn("/k").AppURL(tt.superuser, "tenancy")
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestAnUnreadableURLIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, superuser := range []string{"host=db password=secret", "postgres://boss:secret@db:port/x", "mysql://boss:secret@db/x"} {
		_, err := KeysIn("/k").AppURL(superuser, "tenancy")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error without the password", superuser, err)
		}
	}
}

func TestDatabasesAreMadeOnceAndReachedByTheirRoles(t *testing.T) {
	t.Parallel()
	superuser := pgtest.Private(t).URL()
	k, err := MakeKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := MakeDatabases(t.Context(), superuser, k); err != nil {
			t.Fatal(err)
		}
	}
	for _, service := range roster.Names(roster.Stores()) {
		app, appErr := k.AppURL(superuser, service)
		owner, ownerErr := k.OwnerURL(superuser, service)
		if appErr != nil || ownerErr != nil {
			t.Fatal(appErr, ownerErr)
		}
		for _, reach := range []string{app, owner} {
			if err := connect(t.Context(), reach); err != nil {
				t.Errorf("%s: %v", service, err)
			}
		}
	}
	stranger, err := url.Parse(superuser)
	if err != nil {
		t.Fatal(err)
	}
	stranger.User, stranger.Path = url.User("inventory_app"), "/tenantpilot_tenancy"
	if err := connect(t.Context(), stranger.String()); err == nil {
		t.Error("inventory may open the database of tenancy")
	}
}

func connect(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Package provision makes what the services need before they can start: keys,
// certificates, roles and databases. `make up` and docker compose share it.
// Everything it makes once it finds again the next time.
package provision

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

// Keys is a folder with one folder for each process, holding what that process
// may know and nothing else, and "ca" with the authority's own key.
type Keys struct{ dir string }

// Stores names the services that have a database.
func Stores() []string { return []string{"operations", "tenancy", "inventory"} }

// KeysIn is the keys that MakeKeys made in dir.
func KeysIn(dir string) Keys { return Keys{dir: dir} }

// MakeKeys makes what is missing of dir and renews what is near its end.
func MakeKeys(dir string) (Keys, error) {
	k := KeysIn(dir)
	authority := filepath.Join(dir, "ca")
	ca, err := devca.Open(authority)
	if err != nil {
		return k, err
	}
	if err := devca.ActorKey(authority); err != nil {
		return k, err
	}
	// The operator is a person with grpcurl, takeover a tool of theirs; graphsim stands for Microsoft.
	for _, name := range append(Stores(), "gateway", "operator", "takeover", "graphsim") {
		if err := k.certificate(ca, name); err != nil {
			return k, fmt.Errorf("keys of %s: %w", name, err)
		}
	}
	for _, name := range Stores() {
		if err := k.store(authority, name); err != nil {
			return k, fmt.Errorf("keys of %s: %w", name, err)
		}
	}
	return k, k.shared(authority)
}

// File is where the process keeps what.
func (k Keys) File(process, what string) string { return filepath.Join(k.dir, process, what) }

func (k Keys) certificate(ca *devca.CA, name string) error {
	if err := ca.Issue(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(k.dir, name), 0o700); err != nil {
		return err
	}
	return errors.Join(
		give(ca.RootFile(), k.File(name, "ca.pem")),
		give(ca.CertFile(name), k.File(name, "cert.pem")),
		give(ca.KeyFile(name), k.File(name, "key.pem")),
	)
}

// store makes what a service with a database has: the key its page tokens are
// sealed with, the passwords of its two roles, and how to know the gateway.
func (k Keys) store(authority, name string) error {
	return errors.Join(
		give(filepath.Join(authority, "actor-pub.pem"), k.File(name, "actor-pub.pem")),
		once(k.File(name, "page.key"), randomKey),
		once(k.File(name, "owner.pgpass"), func() []byte { return passLine(name+"_owner", randomText()) }),
		once(k.File(name, "app.pgpass"), func() []byte { return passLine(name+"_app", randomText()) }),
	)
}

// shared makes what exactly one or two processes know.
func (k Keys) shared(authority string) error {
	if err := errors.Join(
		give(filepath.Join(authority, "actor-key.pem"), k.File("gateway", "actor-key.pem")),
		once(k.File("gateway", "session.key"), randomKey),
		once(k.File("tenancy", "master.key"), randomKey),
		once(k.File("graphsim", "client-secret"), randomText),
		os.MkdirAll(filepath.Join(k.dir, "postgres"), 0o700),
	); err != nil {
		return err
	}
	return errors.Join(
		give(k.File("graphsim", "client-secret"), k.File("tenancy", "demo-client-secret")),
		k.superuser(),
	)
}

// superuser makes the password of a PostgreSQL that asks for one at its birth,
// as that wants it and as its clients do.
func (k Keys) superuser() error {
	plain := k.File("postgres", "password")
	if err := once(plain, randomText); err != nil {
		return err
	}
	text, err := os.ReadFile(plain)
	if err != nil {
		return err
	}
	return replace(k.File("postgres", "superuser.pgpass"), passLine("postgres", text))
}

// give copies a file to the process that may read it, if it is not there already.
func give(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(to); err == nil && bytes.Equal(have, text) {
		return nil
	}
	return replace(to, text)
}

// once writes what content makes into file, unless file is there.
func once(file string, content func() []byte) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replace(file, content())
}

// replace writes file in one step, so that nobody reads half of it.
func replace(file string, content []byte) error {
	next := file + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

func randomKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails: it ends the process instead
	return []byte(base64.StdEncoding.EncodeToString(key) + "\n")
}

func randomText() []byte {
	key := make([]byte, 24)
	rand.Read(key) // never fails: it ends the process instead
	return []byte(hex.EncodeToString(key))
}

// passLine is a PostgreSQL password file for role, good for any host and database.
func passLine(role string, password []byte) []byte {
	return fmt.Appendf(nil, "*:*:*:%s:%s\n", role, password)
}

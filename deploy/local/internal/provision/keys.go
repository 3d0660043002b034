// Package provision makes what the services need before they can start: keys,
// certificates, roles and databases. `make up` and docker compose share it.
// It makes each thing once and finds it the next time.
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

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

// Keys is a folder with one folder for each process, holding what that process
// may know and nothing else, and "ca" with the authority's own key.
type Keys struct{ dir string }

// KeysIn returns the keys that MakeKeys made in dir.
func KeysIn(dir string) Keys { return Keys{dir: dir} }

// MakeKeys makes the keys that dir lacks and renews certificates that expire soon.
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
	for _, name := range roster.Certificates() {
		if err := k.certificate(ca, name); err != nil {
			return k, fmt.Errorf("keys of %s: %w", name, err)
		}
	}
	for _, s := range roster.All() {
		if err := k.service(authority, s); err != nil {
			return k, fmt.Errorf("keys of %s: %w", s.Name, err)
		}
	}
	return k, k.shared(authority)
}

// File returns the path of a file that process may read.
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

// service makes the secrets that the table asks for, and what every service with a
// database has.
func (k Keys) service(authority string, s roster.Service) error {
	for _, file := range s.Secrets {
		if err := once(k.File(s.Name, file), randomKey); err != nil {
			return err
		}
	}
	if s.Web {
		return nil
	}
	return k.store(authority, s.Name)
}

// store makes what a service with a database has: the key that seals its page
// tokens, the passwords of its two roles, and the gateway's public key.
func (k Keys) store(authority, name string) error {
	return errors.Join(
		give(filepath.Join(authority, "actor-pub.pem"), k.File(name, "actor-pub.pem")),
		once(k.File(name, "page.key"), randomKey),
		once(k.File(name, "owner.pgpass"), func() []byte { return passLine(name+"_owner", randomText()) }),
		once(k.File(name, "app.pgpass"), func() []byte { return passLine(name+"_app", randomText()) }),
	)
}

// shared makes the files that only one or two processes may read.
func (k Keys) shared(authority string) error {
	if err := errors.Join(
		give(filepath.Join(authority, "actor-key.pem"), k.File("gateway", "actor-key.pem")),
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

// superuser makes the password of PostgreSQL's superuser in two forms: the plain
// file that a new server reads, and the password file that its clients read.
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

// give copies a file to a process that may read it, unless it is there already.
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

// passLine returns a PostgreSQL password file for role that fits any host and database.
func passLine(role string, password []byte) []byte {
	return fmt.Appendf(nil, "*:*:*:%s:%s\n", role, password)
}

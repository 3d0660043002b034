// Package pg is PostgreSQL as every service uses it: pools with limits and
// tracing, transactions, migrations, roles. It holds no SQL of any service.
package pg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is a service's database, by environment (after the service's prefix).
type Config struct {
	URL      string `env:"DATABASE_URL"`       // as the app role
	OwnerURL string `env:"OWNER_DATABASE_URL"` // as the owner role: migrations and retention
	MaxConns int32  `env:"DATABASE_MAX_CONNS"` // 0 leaves it to the library
}

// pingTimeout is how long an idle connection may take to prove that it is alive.
// A connection that broke silently should be noticed quickly, and replaced.
const pingTimeout = 2 * time.Second

// Setting is a setting of PostgreSQL for the connections of a pool.
type Setting struct{ Name, Value string }

// Open makes a pool on url. A statement ends after 15 s and a wait for a lock
// after 3 s, and nothing is compiled, unless settings or url say otherwise; spans are named by the
// statement's first line, "-- store.name". It fails if the database cannot be reached.
func Open(ctx context.Context, url string, maxConns int32, settings ...Setting) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database URL: cannot be read (it is not shown, it may hold a password)")
	}
	if maxConns > 0 {
		cfg.MaxConns = maxConns
	}
	cfg.PingTimeout = pingTimeout
	for _, s := range settings {
		setDefault(cfg.ConnConfig.RuntimeParams, s.Name, s.Value)
	}
	limit(cfg.ConnConfig.RuntimeParams)
	cfg.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithSpanNameFunc(statementName), otelpgx.WithDisableAcquireTracer())
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return db, nil
}

func limit(params map[string]string) {
	defaults := map[string]string{
		"statement_timeout":                   "15s",
		"lock_timeout":                        "3s",
		"idle_in_transaction_session_timeout": "30s",
		"application_name":                    filepath.Base(os.Args[0]),
		"jit":                                 "off", // compiling takes seconds; ours are many short statements
	}
	for name, value := range defaults {
		setDefault(params, name, value)
	}
}

func setDefault(params map[string]string, name, value string) {
	if _, set := params[name]; !set {
		params[name] = value
	}
}

// statementName returns what follows "-- " on the first line, else the first
// word.
func statementName(statement string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(statement), "\n")
	if name, ok := strings.CutPrefix(first, "-- "); ok {
		return strings.TrimSpace(name)
	}
	word, _, _ := strings.Cut(first, " ")
	return strings.ToLower(word)
}

// InTx runs f in a transaction: committed if f returns nil, else rolled back.
func InTx(ctx context.Context, db *pgxpool.Pool, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db, f)
}

// Constraint returns the name of the constraint that err says was violated, or
// "".
func Constraint(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.ConstraintName
	}
	return ""
}

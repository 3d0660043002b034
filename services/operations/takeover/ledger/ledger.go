// Package ledger is what a takeover remembers between its stages: decisions, which row
// is which run, how far a pass came, and what has to come back in a rollback. It is kept
// in the schema tenantpilot_takeover of the legacy database. Package ledger runs no stage.
package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
)

// EnvPrefix is what the tool's environment variables begin with.
const EnvPrefix = "TAKEOVER_"

// Config names the databases, by environment variables that begin with [EnvPrefix].
type Config struct {
	// LegacyURL connects to the legacy database as the owner of its tables.
	LegacyURL string `env:"LEGACY_URL"`
	// OperationsURL connects to the operations database as its owner role.
	OperationsURL string `env:"OPERATIONS_URL"`
	// Reports is the folder that reports are written to.
	Reports string `env:"REPORTS" envDefault:"takeover-reports"`
}

// Ledger is one takeover: a legacy database and the operations database that takes its
// runs. While it is open, no other process can open it.
type Ledger struct {
	Legacy, Operations *pgxpool.Pool
	Log                *slog.Logger

	cfg  Config
	out  io.Writer // receives progress bars and the paths of reports
	now  func() time.Time
	held *pgx.Conn // holds the lock
}

//go:embed state.sql
var stateSchema string

// Open connects to both databases and brings the schema tenantpilot_takeover up to date.
// It fails if the operations database belongs to another takeover, or if another process
// has this one open.
func Open(ctx context.Context, cfg Config, out io.Writer, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{cfg: cfg, Log: log, out: out, now: time.Now}
	if err := l.connect(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close closes the connections, and releases the lock with them.
func (l *Ledger) Close() {
	if l.held != nil {
		_ = l.held.Close(context.Background())
		l.held = nil
	}
	for _, db := range []*pgxpool.Pool{l.Legacy, l.Operations} {
		if db != nil {
			db.Close()
		}
	}
}

// Reports returns the folder that reports are written to.
func (l *Ledger) Reports() string { return l.cfg.Reports }

func (l *Ledger) connect(ctx context.Context) error {
	older, err := settings("LEGACY_URL", l.cfg.LegacyURL)
	if err != nil {
		return err
	}
	operations, err := settings("OPERATIONS_URL", l.cfg.OperationsURL)
	if err != nil {
		return err
	}
	if err := l.lock(ctx, older.ConnConfig); err != nil {
		return err
	}
	if l.Legacy, err = open(ctx, older); err != nil {
		return fmt.Errorf("%sLEGACY_URL: %w", EnvPrefix, err)
	}
	if l.Operations, err = open(ctx, operations); err != nil {
		return fmt.Errorf("%sOPERATIONS_URL: %w", EnvPrefix, err)
	}
	if _, err := l.Legacy.Exec(ctx, stateSchema); err != nil {
		return fmt.Errorf("prepare the legacy database: %w", err)
	}
	if err := l.Alter(ctx, l.Legacy, func(tx pgx.Tx) error { return legacy.MakeViews(ctx, tx) }); err != nil {
		return fmt.Errorf("prepare the legacy database: %w", err)
	}
	return l.pair(ctx)
}

// lockTimeout bounds how long a change of a table waits for its lock. As long as it
// waits, others queue behind it; then it lets them pass and tries again.
const lockTimeout = "2s"

func settings(name, url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil || url == "" {
		return nil, fmt.Errorf("%s%s is missing or no PostgreSQL URL (it is not shown, since it may hold a password)", EnvPrefix, name)
	}
	cfg.MaxConns = 6
	cfg.ConnConfig.RuntimeParams["application_name"] = "tenantpilot-takeover"
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = "0"
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = lockTimeout
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, shareWorkLock, workLock)
		return err
	}
	return cfg, nil
}

// open connects, after waiting for what a killed process has left running.
func open(ctx context.Context, cfg *pgxpool.Config) (*pgxpool.Pool, error) {
	if err := outlive(ctx, cfg.ConnConfig); err != nil {
		return nil, err
	}
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

const getTakeover = `-- takeover.getTakeover
	select id::text from tenantpilot_takeover.takeover`

const pairTakeover = `-- takeover.pairTakeover
	with n as (insert into takeover (takeover_id) values ($1::uuid) on conflict do nothing)
	select coalesce((select takeover_id = $1::uuid from takeover), true)`

// pair writes the id of the takeover into the operations database, or checks the one
// that is there.
func (l *Ledger) pair(ctx context.Context) error {
	var id string
	if err := l.Legacy.QueryRow(ctx, getTakeover).Scan(&id); err != nil {
		return fmt.Errorf("read the takeover's id: %w", err)
	}
	var ours bool
	if err := l.Operations.QueryRow(ctx, pairTakeover, id).Scan(&ours); err != nil {
		return fmt.Errorf("pair the databases (is the operations database migrated?): %w", err)
	}
	if !ours {
		return errors.New("the operations database belongs to the takeover of another legacy database")
	}
	return nil
}

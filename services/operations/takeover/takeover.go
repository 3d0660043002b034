// Package takeover moves an older TenantPilot's four legacy run tables into the
// canonical store, in stages that an operator starts one by one: each shows first
// what it would do, may be killed at any instant and started again, and leaves a
// report. It is the only room that knows legacy names, and no service uses it.
package takeover

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
	"google.golang.org/grpc"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// Config is where the databases are and who the tool is, by environment after
// [EnvPrefix].
type Config struct {
	// LegacyURL is the legacy database, as the owner of its tables.
	LegacyURL string `env:"LEGACY_URL"`
	// OperationsURL is the operations database, as its owner role.
	OperationsURL string `env:"OPERATIONS_URL"`
	// TenancyAddress is where tenancy serves; only adopt calls it.
	TenancyAddress string `env:"TENANCY_ADDRESS"`
	Client         rpc.ClientConfig
	// Reports is the folder that receives the reports.
	Reports string `env:"REPORTS" envDefault:"takeover-reports"`
	// RunTypes is what the operations service is told as OPERATIONS_RUN_TYPES, so
	// that analyse can say what its retention would remove.
	RunTypes string `env:"RUN_TYPES"`
}

// EnvPrefix is what the tool's variables begin with.
const EnvPrefix = "TAKEOVER_"

// Tool is one takeover: a legacy database and the operations database that it
// goes into.
type Tool struct {
	cfg    Config
	legacy *pgxpool.Pool
	target *pgxpool.Pool // the operations database
	log    *slog.Logger
	out    io.Writer // receives progress bars and summaries
	now    func() time.Time
	held   *pgx.Conn // holds the lock

	conn    *grpc.ClientConn // nil: tenancy's address is not known
	tenancy tenancyv1.ImportServiceClient
}

//go:embed state.sql
var stateSchema string

// Open connects to both databases and brings what the tool keeps in the legacy one
// up to date. It fails if the operations database belongs to another takeover, or
// if another process is at work on this one.
func Open(ctx context.Context, cfg Config, out io.Writer, log *slog.Logger) (*Tool, error) {
	t := &Tool{cfg: cfg, log: log, out: out, now: time.Now}
	if err := t.connect(ctx); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close ends the connections, and with them the lock.
func (t *Tool) Close() {
	if t.held != nil {
		_ = t.held.Close(context.Background())
		t.held = nil
	}
	if t.conn != nil {
		_ = t.conn.Close()
	}
	for _, db := range []*pgxpool.Pool{t.legacy, t.target} {
		if db != nil {
			db.Close()
		}
	}
}

func (t *Tool) connect(ctx context.Context) error {
	legacy, err := settings("LEGACY_URL", t.cfg.LegacyURL)
	if err != nil {
		return err
	}
	target, err := settings("OPERATIONS_URL", t.cfg.OperationsURL)
	if err != nil {
		return err
	}
	if err := t.lock(ctx, legacy.ConnConfig); err != nil {
		return err
	}
	if t.legacy, err = open(ctx, legacy); err != nil {
		return fmt.Errorf("%sLEGACY_URL: %w", EnvPrefix, err)
	}
	if t.target, err = open(ctx, target); err != nil {
		return fmt.Errorf("%sOPERATIONS_URL: %w", EnvPrefix, err)
	}
	if _, err := t.legacy.Exec(ctx, stateSchema); err != nil {
		return fmt.Errorf("prepare the legacy database: %w", err)
	}
	if err := t.makeViews(ctx); err != nil {
		return fmt.Errorf("prepare the legacy database: %w", err)
	}
	if err := t.pair(ctx); err != nil {
		return err
	}
	return t.dialTenancy()
}

// lockTimeout bounds how long a change of a table may make others wait that queue
// behind it; the change is tried again then.
const lockTimeout = "2s"

func settings(name, url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil || url == "" {
		return nil, fmt.Errorf("%s%s cannot be read (it is not shown, it may hold a password)", EnvPrefix, name)
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

// open waits for what is left of a process before us, and connects.
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

// workLock is shared by all connections of the tool to a database. When a process is
// killed, the server goes on with what it was last told, and may commit it.
const workLock = 0x7461_6b66

const shareWorkLock = `-- takeover.shareWorkLock
	select pg_advisory_lock_shared($1)`

const passWorkLock = `-- takeover.passWorkLock
	select pg_advisory_lock($1)`

// lastStatement bounds how long a start waits for the last statement of a process
// that was killed.
const lastStatement = `-- takeover.lastStatement
	set lock_timeout = '30s'`

var errHaunted = errors.New("the server still does what a process was told that has been killed: wait until it has ended, and try again")

// outlive waits until no statement of another process is at work in a database.
func outlive(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the lock ends with it
	if _, err := conn.Exec(ctx, lastStatement); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, passWorkLock, workLock)
	if crowded(err) {
		return errHaunted
	}
	return err
}

// toolLock is held in the legacy database while the tool works on it.
const toolLock = 0x7461_6b65

// Waits as long as for any lock: the connections of a process that was killed a
// moment ago may not have ended yet.
const takeToolLock = `-- takeover.takeToolLock
	select pg_advisory_lock($1)`

var errBusy = errors.New("another process works on this takeover: wait for it, or stop it")

// lock takes the lock on a connection of its own, which lives as long as the tool.
func (t *Tool) lock(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	if t.held, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		return fmt.Errorf("%sLEGACY_URL: %w", EnvPrefix, err)
	}
	if _, err := t.held.Exec(ctx, takeToolLock, toolLock); err != nil {
		if crowded(err) {
			return errBusy
		}
		return fmt.Errorf("lock the takeover: %w", err)
	}
	return nil
}

const getTakeover = `-- takeover.getTakeover
	select id::text from tenantpilot_takeover.takeover`

const pairTakeover = `-- takeover.pairTakeover
	with n as (insert into takeover (takeover_id) values ($1::uuid) on conflict do nothing)
	select coalesce((select takeover_id = $1::uuid from takeover), true)`

// pair writes into each database which takeover it belongs to.
func (t *Tool) pair(ctx context.Context) error {
	var id string
	if err := t.legacy.QueryRow(ctx, getTakeover).Scan(&id); err != nil {
		return fmt.Errorf("read the takeover's id: %w", err)
	}
	var ours bool
	if err := t.target.QueryRow(ctx, pairTakeover, id).Scan(&ours); err != nil {
		return fmt.Errorf("pair the databases (is the operations database migrated?): %w", err)
	}
	if !ours {
		return errors.New("the operations database belongs to the takeover of another legacy database")
	}
	return nil
}

func collect[T any](ctx context.Context, q querier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/services/inventory"
)

const (
	latency   = 20 * time.Millisecond
	directory = "11111111-2222-3333-4444-555555555555"
	policies  = "configurationPolicies"
)

// world is a PostgreSQL with its full durability, and a simulator of Graph. What is
// measured runs in child processes.
type world struct {
	dir      string
	postgres *server.Server
	graph    *httptest.Server
	recorder *recorder
}

func newWorld(ctx context.Context, size int) (*world, error) {
	sim, err := graphsim.New(graphsim.Config{
		NoQuotas: true, Latency: latency, TokenLife: 24 * time.Hour,
		Tenants: []graphsim.TenantConfig{{
			ID: directory, ClientID: "app", ClientSecret: "secret", Seed: 1, Counts: map[string]int{policies: size},
		}},
	})
	if err != nil {
		return nil, err
	}
	w := &world{recorder: &recorder{next: sim}}
	w.graph = httptest.NewUnstartedServer(w.recorder)
	w.graph.EnableHTTP2 = true
	w.graph.StartTLS()
	if err := w.prepare(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) prepare(ctx context.Context) (err error) {
	if w.dir, err = os.MkdirTemp("", "tp-bench-"); err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.graph.Certificate().Raw})
	if err := os.WriteFile(w.file("ca.pem"), certificate, 0o600); err != nil {
		return err
	}
	bin, err := server.Find()
	if err != nil {
		return err
	}
	w.postgres, err = server.Start(ctx, server.Options{Dir: w.file("pg"), Bin: bin, Durable: true, Disposable: true})
	return err
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) close() {
	w.graph.Close()
	if w.postgres != nil {
		_ = w.postgres.Stop(server.Immediate) // thrown away
	}
	_ = os.RemoveAll(w.dir)
}

// sync does the sync of run n, on a database that it makes if there is none.
func (w *world) sync(ctx context.Context, database string, n int64) (outcome, error) {
	if err := pg.EnsureDatabase(ctx, w.postgres.URL(), inventory.Name, database); err != nil {
		return outcome{}, err
	}
	if err := inventory.Service.Migrate(ctx, w.postgres.As(inventory.Name+"_owner", database)); err != nil {
		return outcome{}, err
	}
	o, err := w.child(ctx, task{Database: w.postgres.As(inventory.Name+"_app", database), Run: n})
	if err == nil && !o.Succeeded {
		err = fmt.Errorf("the sync did not succeed: %v", o.Counts)
	}
	return o, err
}

func (w *world) bare(ctx context.Context, requests []request) (outcome, error) {
	return w.child(ctx, task{Requests: requests})
}

// child does a task in another process.
func (w *world) child(ctx context.Context, t task) (o outcome, err error) {
	t.Graph, t.CA = w.graph.URL, w.file("ca.pem")
	if t.Token, err = fetchToken(ctx, w.graph.Client(), w.graph.URL); err != nil {
		return o, err
	}
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	told, err := json.Marshal(t)
	if err != nil {
		return o, err
	}
	cmd := exec.CommandContext(ctx, self, "-child")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(told), os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(answer, &o)
}

// wal returns how many bytes f writes to the write-ahead log. Because of a checkpoint
// before it, each page that f changes is written in full once: the worst case for
// small changes.
func (w *world) wal(ctx context.Context, f func() error) (n int64, err error) {
	db, err := pgx.Connect(ctx, w.postgres.URL())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	if _, err := db.Exec(ctx, "checkpoint"); err != nil {
		return 0, err
	}
	var before string
	if err := db.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&before); err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	err = db.QueryRow(ctx, "select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint", before).Scan(&n)
	return n, err
}

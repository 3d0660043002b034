package service_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

type config struct {
	service.Config
	Greeting string        `env:"GREETING" envDefault:"hello"`
	Every    time.Duration `env:"EVERY" envDefault:"1m"`
}

var migrations = fstest.MapFS{
	"0001_note.sql": {Data: []byte("-- +goose Up\ncreate table note (id bigint references part);")},
}

// part is a fragment, whose table the service's own migration refers to.
func part(ctx context.Context, ownerURL, appRole string) error {
	db, err := pg.Open(ctx, ownerURL, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(ctx, "create table if not exists part (id bigint primary key); grant select on part to "+appRole)
	return err
}

func spec(wire func(p *service.Process, cfg config) error) service.Spec[config] {
	return service.Spec[config]{
		Name: "notes", Migrations: migrations, Fragments: []service.Fragment{part}, Calls: []string{"operations"}, Wire: wire,
	}
}

// world is a database, certificates, and a log that can be read.
type world struct {
	db  *pgtest.DB
	cfg config
	log *slog.Logger

	mu   sync.Mutex
	said bytes.Buffer
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{db: pgtest.New(t, "notes", spec(nil).Migrate)}
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, ca.Issue("notes"))
	w.cfg.Server = rpc.ServerConfig{
		Listen: "127.0.0.1:0", AdminListen: rpctest.FreeAddress(t),
		TLSCert: ca.CertFile("notes"), TLSKey: ca.KeyFile("notes"), TLSCA: ca.RootFile(),
	}
	w.cfg.Database = pg.Config{URL: w.db.URL, MaxConns: 2}
	w.cfg.Targets = map[string]string{"operations": "127.0.0.1:1"}
	w.log = slog.New(slog.NewTextHandler(w, nil))
	return w
}

// Write makes w the writer of its own log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// run runs a service in the background. The function that it returns stops the
// service and returns the error of Run.
func (w *world) run(t *testing.T, s service.Spec[config]) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, w.cfg, w.log) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// says waits until /readyz has the status.
func (w *world) says(t *testing.T, status int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.cfg.Server.AdminListen+"/readyz", nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == status
	}, 10*time.Second, 10*time.Millisecond)
}

// What the process holds is closed when nothing uses it any more.
func TestRunStopsLoopsBeforeItClosesWhatTheyUse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var order []string
	began := make(chan struct{})
	stop := w.run(t, spec(func(p *service.Process, _ config) error {
		p.Defer(func() { order = append(order, "first") })
		p.Defer(func() { order = append(order, "second") })
		p.Go("loop", func(ctx context.Context) error {
			close(began)
			<-ctx.Done()
			err := p.DB.Ping(context.WithoutCancel(ctx))
			order = append(order, "loop")
			return err
		})
		require.NotNil(t, p.Dial("operations"))
		return nil
	}))
	<-began
	require.NoError(t, stop())
	require.Equal(t, []string{"loop", "second", "first"}, order)
}

func TestALoopThatFailsEndsTheProcess(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var ended bool
	err := spec(func(p *service.Process, _ config) error {
		p.Go("watch", func(context.Context) error { return errors.New("no more") })
		p.Go("other", func(ctx context.Context) error { <-ctx.Done(); ended = true; return nil })
		return nil
	}).Run(t.Context(), w.cfg, w.log)
	require.EqualError(t, err, "watch: no more")
	require.True(t, ended, "the other loop is waited for")
}

func TestEveryGoesOnAfterAPassFails(t *testing.T) {
	t.Parallel()
	w := setup(t)
	passes := make(chan int)
	stop := w.run(t, spec(func(p *service.Process, _ config) error {
		n := 0
		p.Every(time.Millisecond, "sweeper", func(ctx context.Context) error {
			n++
			select {
			case passes <- n:
			case <-ctx.Done():
			}
			if n == 1 {
				return errors.New("out of luck")
			}
			return ctx.Err() // what a pass returns because the process ends is no failure
		})
		return nil
	}))
	require.Equal(t, 1, <-passes)
	require.Equal(t, 2, <-passes)
	require.NoError(t, stop())
	require.Contains(t, w.logged(), `msg="pass failed" loop=sweeper err="out of luck"`)
	require.NotContains(t, w.logged(), "canceled")
}

func TestEveryCallsTheFirstPassAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	passed := make(chan struct{})
	stop := w.run(t, spec(func(p *service.Process, _ config) error {
		p.Every(time.Hour, "sweeper", func(context.Context) error { close(passed); return nil })
		return nil
	}))
	<-passed
	require.NoError(t, stop())
}

// Whatever is wrong is told before anything runs, and nothing is left behind.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	fine := func(*service.Process, config) error { return nil }
	tests := map[string]struct {
		wire func(*service.Process, config) error
		cfg  func(*config)
		want string
	}{
		"no target": {fine, func(c *config) { c.Targets = nil }, "NOTES_OPERATIONS_TARGET is not set: it must be the address of operations"},
		"a target too many": {
			fine, func(c *config) { c.Targets = map[string]string{"operations": "x", "tenancy": "x"} },
			"there is a target for tenancy, which notes does not call",
		},
		"a service that is not in Calls": {
			func(p *service.Process, _ config) error { p.Dial("tenancy"); return nil }, func(*config) {},
			"notes calls tenancy, which is not in the list of services that it calls",
		},
		"no interval": {
			func(p *service.Process, c config) error { p.Every(c.Every, "sweeper", nil); return nil }, func(c *config) { c.Every = 0 },
			"sweeper cannot run every 0s: the interval must be longer than zero",
		},
		"wiring":         {func(*service.Process, config) error { return errors.New("no master key") }, func(*config) {}, "no master key"},
		"a bad page key": {fine, func(c *config) { c.PageKey = "x" }, "NOTES_PAGE_KEY"},
		"no certificate": {fine, func(c *config) { c.Server.TLSCert = "" }, "TLS_CERT"},
		"no database":    {fine, func(c *config) { c.Database.URL = "postgres://nobody@127.0.0.1:1/nothing" }, "database"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, closed := w.cfg, false
			tt.cfg(&cfg)
			wired := false
			err := spec(func(p *service.Process, c config) error {
				wired = true
				p.Defer(func() { closed = true })
				p.Go("loop", func(context.Context) error { t.Error("the loop runs"); return nil })
				return tt.wire(p, c)
			}).Run(t.Context(), cfg, w.log)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, wired, closed)
		})
	}
}

// The process is ready once the schema is as new as the binary.
func TestHealthIsTheVersionOfTheSchema(t *testing.T) {
	t.Parallel()
	w := setup(t)
	next := spec(func(*service.Process, config) error { return nil })
	next.Migrations = fstest.MapFS{
		"0001_note.sql": migrations["0001_note.sql"],
		"0002_tag.sql":  {Data: []byte("-- +goose Up\ncreate table tag (id bigint);")},
	}
	stop := w.run(t, next)
	w.says(t, http.StatusServiceUnavailable)
	require.NoError(t, next.Migrate(t.Context(), w.db.OwnerURL))
	w.says(t, http.StatusOK)
	require.NoError(t, stop())
}

func TestMigrateWantsTheOwner(t *testing.T) {
	t.Parallel()
	require.EqualError(t, spec(nil).Migrate(t.Context(), ""), "NOTES_OWNER_DATABASE_URL is not set: migrations run as the owner role")
}

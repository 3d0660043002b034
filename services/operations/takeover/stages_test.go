package takeover

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture/fixturetest"
)

// stages is a takeover of a legacy database of its own, to be taken through its stages.
type stages struct {
	t         *testing.T
	tool      *Tool
	legacyURL string
	targetURL string
	registry  *registry
	cfg       Config
}

func newStages(t *testing.T, o fixture.Options) *stages {
	t.Helper()
	s := &stages{t: t, legacyURL: fixturetest.Database(t, o), registry: newRegistry(5000)}
	s.targetURL = pgtest.New(t, operations.Name, operations.Service.Migrate).OwnerURL
	s.cfg = Config{LegacyURL: s.legacyURL, OperationsURL: s.targetURL, Reports: t.TempDir()}
	s.open()
	return s
}

// open begins anew, as another process would.
func (s *stages) open() {
	s.t.Helper()
	if s.tool != nil {
		s.tool.Close()
	}
	var err error
	s.tool, err = Open(s.t.Context(), s.cfg, io.Discard, slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
	s.t.Cleanup(s.tool.Close)
	_, s.tool.tenancy = s.registry.serve(s.t)
}

// done fails the test unless a stage passed; it answers the report.
func (s *stages) done(r *Report, err error) *Report {
	s.t.Helper()
	if err != nil && r != nil {
		for _, c := range r.Checks {
			if !c.Passed {
				s.t.Logf("%s: %s: %s", r.Stage, c.Name, c.Detail)
			}
		}
	}
	require.NoError(s.t, err)
	return r
}

// upTo takes the takeover through its stages, up to and with the one named.
func (s *stages) upTo(stage string) {
	s.t.Helper()
	for _, name := range []string{"adopt", "backfill", "verify", "repoint", "verify again", "drop"} {
		s.do(name)
		if name == stage {
			return
		}
	}
}

func (s *stages) do(stage string) *Report {
	s.t.Helper()
	r, err := s.try(s.t.Context(), stage)
	return s.done(r, err)
}

// try runs a stage with the options that tests share.
func (s *stages) try(ctx context.Context, stage string) (*Report, error) {
	switch stage {
	case "adopt":
		return s.tool.Adopt(ctx, AdoptOptions{Owners: s.owners()})
	case "backfill":
		return s.tool.Backfill(ctx, BackfillOptions{History: "import", StaleAfter: 24 * time.Hour, CutOver: true})
	case "verify", "verify again":
		return s.tool.Verify(ctx, VerifyOptions{All: true})
	case "repoint":
		return s.tool.Repoint(ctx, RepointOptions{})
	case "drop":
		return s.tool.Drop(ctx, DropOptions{Snapshot: "before"})
	}
	return s.tool.Rollback(ctx, RollbackOptions{To: strings.TrimPrefix(stage, "rollback to ")})
}

// owners names one for the workspace that has no members, if it is there.
func (s *stages) owners() map[int64]string {
	s.t.Helper()
	if value(s.t, s.tool.legacy, "select id from workspaces where id = 2") == "null" {
		return nil
	}
	return map[int64]string{2: "1"}
}

// exec changes the legacy database as the older installation would.
func (s *stages) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.tool.legacy.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err, sql)
}

// execRuns changes the operations database as nobody should.
func (s *stages) execRuns(sql string, args ...any) {
	s.t.Helper()
	_, err := s.tool.target.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err, sql)
}

// value is what a statement answers, as text.
func value(t *testing.T, db *pgxpool.Pool, sql string, args ...any) (out string) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "select coalesce(("+sql+")::text, 'null')", args...).Scan(&out), sql)
	return out
}

// dump is what pg_dump writes of a database.
func dump(t *testing.T, url string, flags ...string) string {
	t.Helper()
	bin, err := server.Find()
	require.NoError(t, err)
	var complaints bytes.Buffer
	cmd := osexec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), append(flags, "--no-owner", "--dbname="+url)...) //nolint:gosec // a program of the server's
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, complaints.String())
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, `\restrict`) && !strings.HasPrefix(line, `\unrestrict`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// Package takeovertest takes a legacy database of its own through the stages, for tests.
// It asserts nothing about what a stage did.
package takeovertest

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

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/drop"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture/fixturetest"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/repoint"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/rollback"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

// Adopt runs adopt, which has to pass.
func (s *Takeover) Adopt(o adopt.Options) *report.Report {
	s.t.Helper()
	return s.Done(adopt.Run(s.t.Context(), s.Ledger, s.Tenancy, o))
}

// Refused asserts that adopt does not pass, and returns the checks that do not hold.
func (s *Takeover) Refused(o adopt.Options) string {
	s.t.Helper()
	r, err := adopt.Run(s.t.Context(), s.Ledger, s.Tenancy, o)
	require.ErrorIs(s.t, err, report.ErrNotPassed)
	return Failing(r)
}

// AwkwardOwners are the owners that the awkward workspaces need without memberships.
var AwkwardOwners = map[int64]string{1: "1", 2: "3", 4: "Lena Neu"}

// Backfill runs backfill, which has to pass.
func (s *Takeover) Backfill(o backfill.Options) *report.Report {
	s.t.Helper()
	return s.Done(backfill.Run(s.t.Context(), s.Ledger, o))
}

// Adopted returns a takeover of [AwkwardRows] after adopt.
func Adopted(t *testing.T, offset int64) *Takeover {
	t.Helper()
	s := New(t, AwkwardRows)
	s.Done(adopt.Run(t.Context(), s.Ledger, s.Tenancy, adopt.Options{Owners: map[int64]string{2: "1"}, IDOffset: offset}))
	return s
}

// Day is how long rows may go untouched, in most tests.
const Day = 24 * time.Hour

// AwkwardRows is everything odd that does not stop a takeover, and 2,000 ordinary rows.
var AwkwardRows = fixture.Options{Rows: 2000, Linked: 20, Memberships: true}

// Everything is everything odd that does not stop a takeover, and 300 ordinary rows.
var Everything = fixture.Options{Rows: 300, Linked: 30, Memberships: true}

// Takeover is the takeover of a legacy database that one test has for itself.
type Takeover struct {
	*ledger.Ledger
	Tenancy                  tenancyv1.ImportServiceClient
	Registry                 *Registry // what Tenancy knows
	LegacyURL, OperationsURL string

	t   *testing.T
	cfg ledger.Config
}

// New fills a legacy database and opens its takeover.
func New(t *testing.T, o fixture.Options) *Takeover {
	t.Helper()
	s := &Takeover{t: t, LegacyURL: fixturetest.Database(t, o), Registry: NewRegistry(5000)}
	s.OperationsURL = pgtest.New(t, operations.Name, operations.Service.Migrate).OwnerURL
	s.cfg = ledger.Config{LegacyURL: s.LegacyURL, OperationsURL: s.OperationsURL, Reports: t.TempDir()}
	s.Open()
	return s
}

// Open opens the takeover again, as another process would.
func (s *Takeover) Open() {
	s.t.Helper()
	if s.Ledger != nil {
		s.Ledger.Close()
	}
	var err error
	s.Ledger, err = ledger.Open(s.t.Context(), s.cfg, io.Discard, slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
	s.t.Cleanup(s.Ledger.Close)
	_, s.Tenancy = s.Registry.Serve(s.t)
}

// Done fails the test unless a stage passed, and returns its report.
func (s *Takeover) Done(r *report.Report, err error) *report.Report {
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

// UpTo runs the stages up to the one named, and this one.
func (s *Takeover) UpTo(stage string) {
	s.t.Helper()
	for _, name := range []string{"adopt", "backfill", "verify", "repoint", "verify again", "drop"} {
		s.Do(name)
		if name == stage {
			return
		}
	}
}

// Do runs a stage, which has to pass.
func (s *Takeover) Do(stage string) *report.Report {
	s.t.Helper()
	r, err := s.Try(s.t.Context(), stage)
	return s.Done(r, err)
}

// Try runs a stage with the options that tests share; "rollback to drop" is one too.
func (s *Takeover) Try(ctx context.Context, stage string) (*report.Report, error) {
	switch stage {
	case "adopt":
		return adopt.Run(ctx, s.Ledger, s.Tenancy, adopt.Options{Owners: s.Owners()})
	case "backfill":
		return backfill.Run(ctx, s.Ledger, backfill.Options{History: "import", StaleAfter: 24 * time.Hour, CutOver: true})
	case "verify", "verify again":
		return verify.Run(ctx, s.Ledger, verify.Options{All: true})
	case "repoint":
		return repoint.Run(ctx, s.Ledger, repoint.Options{})
	case "drop":
		return drop.Run(ctx, s.Ledger, drop.Options{Snapshot: "before"})
	}
	return rollback.Run(ctx, s.Ledger, takeover.Undoing, rollback.Options{To: strings.TrimPrefix(stage, "rollback to ")})
}

// Owners names an owner for the workspace that has no members, if it exists.
func (s *Takeover) Owners() map[int64]string {
	s.t.Helper()
	if Value(s.t, s.Legacy, "select id from workspaces where id = 2") == "null" {
		return nil
	}
	return map[int64]string{2: "1"}
}

// Exec changes the legacy database, as the older installation would.
func (s *Takeover) Exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.Legacy.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err, sql)
}

// ExecRuns changes the operations database, as nobody should.
func (s *Takeover) ExecRuns(sql string, args ...any) {
	s.t.Helper()
	_, err := s.Operations.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err, sql)
}

// Value returns the one value that a statement selects, as text.
func Value(t *testing.T, db *pgxpool.Pool, sql string, args ...any) (out string) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "select coalesce(("+sql+")::text, 'null')", args...).Scan(&out), sql)
	return out
}

// Dump returns what pg_dump writes of a database.
func Dump(t *testing.T, url string, flags ...string) string {
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

// Fails asserts that verify does not pass, and returns the checks that do not hold.
func (s *Takeover) Fails(why string) string {
	s.t.Helper()
	r, err := s.Try(s.t.Context(), "verify")
	require.ErrorIs(s.t, err, report.ErrNotPassed, why)
	return Failing(r)
}

// Awkward is everything odd that does not stop a takeover, and nothing else.
var Awkward = fixture.Options{Memberships: true}

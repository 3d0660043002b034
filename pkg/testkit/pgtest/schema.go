package pgtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// snapshotRelease is the release of PostgreSQL that snapshots are made with:
// others write the same schema in other words.
const snapshotRelease = "15."

// MatchSchema compares what db's migrations add up to with file, a snapshot to
// be read and reviewed; update writes the file anew instead. It skips t where
// there is no pg_dump of the release snapshots are made with.
func MatchSchema(t testing.TB, db *DB, file string, update bool) {
	t.Helper()
	got := schema(t, db)
	if update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file) //nolint:gosec // named by the test
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the migrations make; run this test with -update and look at the difference. They make:\n%s", file, got)
	}
}

func schema(t testing.TB, db *DB) string {
	t.Helper()
	bin, err := server.Find()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(bin, "pg_dump")
	var release string
	if err := db.Pool.QueryRow(t.Context(), "show server_version").Scan(&release); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil || !strings.HasPrefix(release, snapshotRelease) {
		t.Skipf("the snapshot is as pg_dump of PostgreSQL %s writes it", snapshotRelease)
	}
	out, err := exec.CommandContext(t.Context(), program, "--schema-only", "--no-owner",
		"--exclude-table=goose_db_version*", "--exclude-schema=river", "--dbname="+db.OwnerURL).Output() //nolint:gosec // a program of the server's
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return statements(string(out))
}

// statements is a dump without what differs between its makers: comments,
// settings and empty lines.
func statements(dump string) string {
	var lines []string
	for line := range strings.Lines(dump) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "SET ") || strings.HasPrefix(line, `\`) ||
			strings.HasPrefix(line, "SELECT pg_catalog.set_config") {
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

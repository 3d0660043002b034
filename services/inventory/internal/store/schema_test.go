package store_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/pgtest/server"
)

var update = flag.Bool("update", false, "write schema.sql anew")

// schema.sql is what the migrations add up to, to be read and reviewed.
func TestSchemaSnapshot(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "inventory", migrate)
	bin, err := server.Find()
	require.NoError(t, err)
	dump := filepath.Join(bin, "pg_dump")
	var release string
	require.NoError(t, db.Pool.QueryRow(t.Context(), "show server_version").Scan(&release))
	if _, err := os.Stat(dump); err != nil || !strings.HasPrefix(release, "15.") {
		t.Skip("the snapshot is as pg_dump of PostgreSQL 15 writes it")
	}
	out, err := exec.CommandContext(t.Context(), dump, "--schema-only", "--no-owner",
		"--exclude-table=goose_db_version*", "--dbname="+db.OwnerURL).Output()
	require.NoError(t, err)
	got := statements(string(out))
	if *update {
		require.NoError(t, os.WriteFile("schema.sql", []byte(got), 0o600))
	}
	want, err := os.ReadFile("schema.sql")
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./internal/store -run Snapshot -update writes it anew")
}

// statements is the dump without comments, settings and empty lines.
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

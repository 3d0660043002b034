package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// state is what the databases hold after a turn.
type state struct {
	runs, imported int64             // all runs, and those that backfill has made
	unlinked       int64             // rows without a run that should have one
	digests        map[string]string // rows and their sum, by table
}

// The sum covers every column, and does not depend on the order of rows.
const digestTable = `-- bench.digestTable
	select format('%s rows, sum %s', count(*), sum(hashtextextended(t::text, 0))) from {runs}.{table} t`

const digestBridges = `-- bench.digestBridges
	select format('%s rows, sum %s', count(*), sum(hashtextextended(id || ':' || coalesce(operation_run_id::text, ''), 0))),
		count(*) filter (where operation_run_id is null and status <> all ($1)) from {source}`

const countRuns = `-- bench.countRuns
	select count(*), count(*) filter (where context -> 'legacy' ->> 'source' <> 'operation_runs') from {runs}.operation_runs`

// writtenTables are the tables in which an imported run has rows.
var writtenTables = []string{"operation_runs", "run_event", "run_label", "run_stat"}

// look reads the state of both databases.
func (t *turn) look(ctx context.Context) (state, error) {
	s := state{digests: map[string]string{}}
	err := t.runs.on(ctx, t.runs.database, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "set timezone = 'UTC'"); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, t.runs.in(countRuns)).Scan(&s.runs, &s.imported); err != nil {
			return err
		}
		for _, table := range writtenTables {
			var digest string
			if err := conn.QueryRow(ctx, strings.ReplaceAll(t.runs.in(digestTable), "{table}", table)).Scan(&digest); err != nil {
				return err
			}
			s.digests[table] = digest
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	return s, t.legacy.on(ctx, t.legacy.database, func(conn *pgx.Conn) error { return s.bridges(ctx, conn) })
}

func (s *state) bridges(ctx context.Context, conn *pgx.Conn) error {
	for _, source := range sources {
		var digest string
		var unlinked int64
		err := conn.QueryRow(ctx, source.in(digestBridges), append([]string{}, source.wizard...)).Scan(&digest, &unlinked)
		if err != nil {
			return err
		}
		s.digests[source.table], s.unlinked = digest, s.unlinked+unlinked
	}
	return nil
}

// sameRows returns an error unless every turn has linked every row and all have written the
// same rows: a contender that does less work cannot be compared.
func sameRows(all results) error {
	var first string
	for name, turns := range all.turns {
		for _, s := range turns {
			if s.left.unlinked > 0 || s.left.imported == 0 {
				return fmt.Errorf("%s: %d runs were imported, and %d rows have none", name, s.left.imported, s.left.unlinked)
			}
			if first == "" {
				first = name
			}
			if err := same(all.turns[first][0].left, s.left); err != nil {
				return fmt.Errorf("%s and %s: %w", first, name, err)
			}
		}
	}
	return nil
}

func same(a, b state) error {
	var differ []error
	for table, digest := range a.digests {
		if b.digests[table] != digest {
			differ = append(differ, fmt.Errorf("other rows of %s: %s, and %s", table, digest, b.digests[table]))
		}
	}
	return errors.Join(differ...)
}

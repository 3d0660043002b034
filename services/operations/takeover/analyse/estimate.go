package analyse

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// probeRows is how many rows of each table are measured. A table of fewer rows than
// probeLeast is not measured.
const (
	probeRows  = 3000
	probeLeast = 100
)

// probe is what it costs to take over some rows of a table.
type probe struct {
	rows int64
	took time.Duration
	here int64 // bytes that linking adds to the legacy database
	runs int64 // bytes in the operations database
}

const readSize = `-- takeover.readSize
	select count(*), pg_total_relation_size('{table}') from {table}`

// estimate takes over some rows, measures that, and rolls it back. The result is a lower
// bound: a pass over all rows also waits for checkpoints, and reads from disk.
func (a *analysis) estimate(ctx context.Context) error {
	table := a.r.Table("Estimate, importing every row", "table", "rows", "MiB now", "MiB more while linking", "MiB in operations", "takes at least")
	var small []string
	for _, source := range legacy.RunTables {
		var rows, size int64
		if err := a.Legacy.QueryRow(ctx, source.In(readSize)).Scan(&rows, &size); err != nil {
			return fmt.Errorf("size of %s: %w", source.Name, err)
		}
		if rows < probeLeast {
			small = append(small, source.Name)
			table.Row(source.Name, rows, mebibytes(size), "", "", "")
			continue
		}
		p, err := a.probe(ctx, source)
		if err != nil {
			return fmt.Errorf("probe %s: %w", source.Name, err)
		}
		of := func(n int64) int64 { return int64(float64(n) / float64(p.rows) * float64(rows)) }
		table.Row(source.Name, rows, mebibytes(size), mebibytes(of(p.here)), mebibytes(of(p.runs)),
			time.Duration(of(int64(p.took))).Round(time.Millisecond).String())
	}
	a.r.Find(report.Finding{
		Code: "too_few_to_measure", Count: int64(len(small)), Samples: small,
		Message: fmt.Sprintf("tables of fewer than %d rows, for which nothing is estimated", probeLeast),
	})
	return nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

// probe copies some rows of a table and links them, in tables of its own, and rolls that
// back. It takes no lock that others wait for.
func (a *analysis) probe(ctx context.Context, table legacy.RunTable) (probe, error) {
	began := time.Now()
	rows, err := a.Legacy.Query(ctx, table.In(probeRead), probeRows)
	if err != nil {
		return probe{}, err
	}
	documents, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return probe{}, err
	}
	p := probe{rows: int64(len(documents)), took: time.Since(began)}
	if err := query.RolledBack(ctx, a.Operations, func(tx pgx.Tx) error { return p.writeRuns(ctx, tx, documents) }); err != nil {
		return probe{}, fmt.Errorf("write runs: %w", err)
	}
	if table.Name == legacy.CanonicalRuns {
		return p, nil // it has no bridges
	}
	return p, query.RolledBack(ctx, a.Legacy, func(tx pgx.Tx) error { return p.link(ctx, tx, table) })
}

// The runs that the newest rows become. Their workspaces are not known before adopt.
const probeRead = `-- takeover.probeRead
	select row_to_json(m)::text from tenantpilot_takeover.mapped_{table} m
	where legacy_id > coalesce((select id from {table} order by id desc offset $1 limit 1), 0)`

// The same columns, indexes and checks as for runs, events and labels.
const probeTables = `
	create temp table probe_document (id bigint generated always as identity, document jsonb) on commit drop;
	create table takeover_probe_run (like operation_runs including all);
	create table takeover_probe_event (like run_event including all);
	create table takeover_probe_label (like run_label including all)`

const probeRuns = `-- takeover.probeRuns
	with r as (
		insert into takeover_probe_run (id, workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash,
			summary_counts, failure_summary, context, started_at, completed_at, created_at, max_attempts, origin, event_count)
		select id, 1, 1, document ->> 'initiator_name', coalesce(document ->> 'type', 'inventory_sync'), 'completed', 'failed', sha256(id::text::bytea),
			document -> 'summary_counts', document -> 'failure_summary', document -> 'context', (document ->> 'started_at')::timestamptz,
			coalesce((document ->> 'completed_at')::timestamptz, now()), (document ->> 'created_at')::timestamptz, 1, 'legacy', 1
		from probe_document
		returning id
	), e as (
		insert into takeover_probe_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, txid, id)
		select id, 1, 'completed', 'takeover', 'completed', 'failed', 0, 0, null, null from r
	)
	insert into takeover_probe_label (workspace_id, key, value, run_id)
	select 1, k, id::text, id from r, unnest(array['probe.one', 'probe.two']) k`

const probeRunSize = `-- takeover.probeRunSize
	select pg_total_relation_size('takeover_probe_run') + pg_total_relation_size('takeover_probe_event') + pg_total_relation_size('takeover_probe_label')`

func (p *probe) writeRuns(ctx context.Context, tx pgx.Tx, documents []string) error {
	if _, err := tx.Exec(ctx, probeTables); err != nil {
		return err
	}
	var empty int64
	if err := tx.QueryRow(ctx, probeRunSize).Scan(&empty); err != nil {
		return err
	}
	began := time.Now()
	source := pgx.CopyFromSlice(len(documents), func(i int) ([]any, error) { return []any{documents[i]}, nil })
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"probe_document"}, []string{"document"}, source); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, probeRuns); err != nil {
		return err
	}
	p.took += time.Since(began)
	err := tx.QueryRow(ctx, probeRunSize).Scan(&p.runs)
	p.runs -= empty
	return err
}

const probeTable = `-- takeover.probeTable
	create table tenantpilot_takeover.probe (like {table} including all)`

const probeFill = `-- takeover.probeFill
	insert into tenantpilot_takeover.probe overriding system value select * from {table} order by id desc limit $1`

const probeLegacySize = `-- takeover.probeLegacySize
	select pg_total_relation_size('tenantpilot_takeover.probe')`

const probeLink = `-- takeover.probeLink
	with s as (
		insert into tenantpilot_takeover.saved_bridge (source, id) select '{table} probe', id from tenantpilot_takeover.probe
	)
	update tenantpilot_takeover.probe set operation_run_id = id`

func (p *probe) link(ctx context.Context, tx pgx.Tx, table legacy.RunTable) error {
	var before, after int64
	if _, err := tx.Exec(ctx, table.In(probeTable)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, table.In(probeFill), probeRows); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, probeLegacySize).Scan(&before); err != nil {
		return err
	}
	began := time.Now()
	if _, err := tx.Exec(ctx, table.In(probeLink)); err != nil {
		return err
	}
	p.took += time.Since(began)
	err := tx.QueryRow(ctx, probeLegacySize).Scan(&after)
	p.here = after - before
	return err
}

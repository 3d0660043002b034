package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// The same rows that StartRun with a holder and CompleteRun write, with one statement and one
// transaction for each call. No client of PostgreSQL can write them with less.
const (
	startRows = `
with n as (
	insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, context,
		started_at, lease_epoch, attempt, max_attempts, event_count)
	values (1, 5, 'inventory', 'inventory_sync', 'running', 'pending', decode(lpad(to_hex(:n::bigint), 64, '0'), 'hex'), '` + contextJSON + `',
		now(), 1, 1, 3, 1)
	returning id, initiator_name, status, outcome, lease_epoch, attempt
), l as (
	insert into run_lease (run_id, epoch, holder, expires_at) select id, 1, 'bench', now() + interval '20 seconds' from n
), e as (
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	select id, 1, 'created', initiator_name, status, outcome, lease_epoch, attempt, '{"caller": "inventory"}' from n
)
select id from n \gset
`
	queueRows = `
with n as (
	insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, context,
		queued_at, max_attempts, event_count)
	values (1, 5, 'inventory', 'inventory_sync', 'queued', 'pending', decode(lpad(to_hex(:n::bigint), 64, '0'), 'hex'), '` + contextJSON + `',
		now(), 3, 1)
	returning id, initiator_name, status, outcome, lease_epoch, attempt
), e as (
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	select id, 1, 'created', initiator_name, status, outcome, lease_epoch, attempt, '{"caller": "inventory"}' from n
)
select id from n \gset
`
	beginRows = `
with n as (
	update operation_runs set status = 'running', lease_epoch = 1, attempt = 1, started_at = now(), updated_at = now(), event_count = 2
	where id = :id::bigint and status = 'queued'
	returning id, status, outcome, lease_epoch, attempt
), l as (
	insert into run_lease (run_id, epoch, holder, expires_at) select id, 1, 'bench', now() + interval '20 seconds' from n
), e as (
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	select id, 2, 'begun', 'inventory', status, outcome, lease_epoch, attempt, '{"holder": "bench"}' from n
)
select id from n;
`
	endRows = `
with n as (
	update operation_runs set status = 'completed', outcome = 'succeeded', summary_counts = '{"total": 60, "processed": 60}',
		completion_digest = run_identity_hash, completed_at = clock_timestamp(), updated_at = clock_timestamp(), event_count = event_count + 1
	where id = :id::bigint and lease_epoch = 1 and status = 'running'
	returning id, event_count, status, outcome, lease_epoch, attempt
), g as (
	delete from run_lease where run_id = :id::bigint
), e as (
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, event_count, 'completed', 'inventory', status, outcome, lease_epoch, attempt from n
)
select id from n;
`
	newIdentity = `\set n random(1, 9223372036854775806)
`
	bareRows = newIdentity + `
insert into run (tenant_id, type, status, outcome, run_identity_hash, context)
values (5, 'inventory_sync', 'running', 'pending', decode(lpad(to_hex(:n::bigint), 64, '0'), 'hex'), '` + contextJSON + `') returning id \gset
update run set status = 'completed', outcome = 'succeeded', summary_counts = '{"total": 60, "processed": 60}', completed_at = clock_timestamp()
where id = :id::bigint and status = 'running';
`
)

// peer is pgbench: clients that write one run after the other, with a commit for each step.
type peer struct {
	clients int
	script  string
	user    string
	ended   string // the statement that counts ended runs
}

var (
	processed = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	perSecond = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)
)

func (p peer) play(ctx context.Context, t *turn) (s score, err error) {
	script, logs := t.file("script.sql"), t.file("pgbench_log")
	if err := os.WriteFile(script, []byte(p.script), 0o600); err != nil {
		return s, err
	}
	before, err := t.number(ctx, t.database, p.ended)
	if err != nil {
		return s, err
	}
	s, err = t.timed(ctx, 0, func() (tally, error) { return p.run(ctx, t, script, logs) })
	if err != nil {
		return s, err
	}
	after, err := t.number(ctx, t.database, p.ended)
	if err != nil {
		return s, err
	}
	if after-before != int64(s.runs) {
		return s, fmt.Errorf("audit: pgbench says %d runs, the table %d", s.runs, after-before)
	}
	return s, nil
}

func (p peer) run(ctx context.Context, t *turn, script, logs string) (tally, error) {
	cfg, err := pgx.ParseConfig(t.postgres.As(p.user, t.database))
	if err != nil {
		return tally{}, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, "pgbench"), //nolint:gosec // a program of PostgreSQL, with our arguments
		"-n", "-M", "prepared", "-f", script, "-c", strconv.Itoa(p.clients), "-j", strconv.Itoa(min(p.clients, 2)),
		"-T", strconv.Itoa(max(int(t.opts.length.Seconds()), 1)),
		"--log", "--log-prefix="+logs, "--sampling-rate=0.2", // of the times; the count is of all runs
		"-h", cfg.Host, "-p", strconv.Itoa(int(cfg.Port)), "-U", p.user, t.database)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return tally{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	runs, rate := processed.FindSubmatch(out), perSecond.FindSubmatch(out)
	if runs == nil || rate == nil || !strings.Contains(string(out), "number of failed transactions: 0 ") {
		return tally{}, fmt.Errorf("pgbench said:\n%s", out)
	}
	n, err := strconv.Atoi(string(runs[1]))
	if err != nil {
		return tally{}, err
	}
	tps, err := strconv.ParseFloat(string(rate[1]), 64)
	if err != nil {
		return tally{}, err
	}
	times, err := readTimes(logs)
	return tally{runs: n, elapsed: time.Duration(float64(n) / tps * float64(time.Second)), times: times}, err
}

// readTimes reads and removes the logs of pgbench. A line is "client number microseconds …".
func readTimes(prefix string) (times []time.Duration, err error) {
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		f, err := os.Open(file) //nolint:gosec // a file of ours
		if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			micros, err := strconv.Atoi(strings.Fields(lines.Text())[2])
			if err != nil {
				return nil, err
			}
			times = append(times, time.Duration(micros)*time.Microsecond)
		}
		f.Close()
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	return times, nil
}

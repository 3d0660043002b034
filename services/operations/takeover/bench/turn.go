package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
)

// score is what one turn measured.
type score struct {
	rows             int64 // rows that became runs
	elapsed          time.Duration
	wal              int64         // of both servers
	postgres, client time.Duration // CPU time; the client is the tool or the peer
	memory           int64         // the peak of the tool
	load, loadAfter  float64       // of the machine
	took             map[string]time.Duration
	left             state
}

func (s score) rate() float64 { return float64(s.rows) / s.elapsed.Seconds() }

// contender is one way to take rows over.
type contender struct {
	name string
	two  bool // with two servers
	play func(*turn, context.Context) (score, error)
}

const (
	toolOnOne  = "tool, one server"
	peerOnOne  = "insert and update, one server"
	toolAcross = "tool, two servers"
	peerAcross = "copy and update, two servers"
)

var contenders = []contender{
	{toolOnOne, false, (*turn).tool},
	{peerOnOne, false, (*turn).peer},
	{toolAcross, true, (*turn).tool},
	{peerAcross, true, (*turn).peer},
}

// turn is one measurement, on databases of its own.
type turn struct {
	*world
	contender
	legacy destination
	runs   destination
}

// The databases of a turn.
const (
	turnLegacy = "turn_legacy"
	turnRuns   = "turn_operations"
)

// verified is the result of a measured verify.
type verified struct {
	spent
	rows int64
}

// results are the scores of each contender, one for each round.
type results struct {
	turns  map[string][]score
	verify *verified
}

// compare runs the turns of all contenders.
func (w *world) compare(ctx context.Context, out io.Writer) (results, error) {
	all := results{turns: map[string][]score{}}
	only, err := regexp.Compile(w.opts.only)
	if err != nil {
		return all, err
	}
	list := slices.DeleteFunc(slices.Clone(contenders), func(c contender) bool { return !only.MatchString(c.name) })
	header(out)
	for n := range w.opts.rounds {
		for _, c := range list {
			err := w.turn(ctx, c, func(t *turn, s score) (err error) {
				all.turns[c.name] = append(all.turns[c.name], s)
				fmt.Fprintln(out, line(fmt.Sprintf("%s, round %d", c.name, n+1), s))
				if w.opts.verify && c.name == toolOnOne && n+1 == w.opts.rounds {
					all.verify, err = t.verified(ctx, s.left)
				}
				return err
			})
			if err != nil {
				return all, fmt.Errorf("%s: %w", c.name, err)
			}
		}
		slices.Reverse(list) // so that no contender always follows the same one
	}
	return all, nil
}

// turn runs c on fresh copies of the databases, passes the score on, and drops the copies.
func (w *world) turn(ctx context.Context, c contender, told func(*turn, score) error) error {
	t := &turn{world: w, contender: c}
	if err := t.begin(ctx); err != nil {
		return err
	}
	s, err := t.timed(ctx)
	if err != nil {
		return err
	}
	if s.left, err = t.look(ctx); err != nil {
		return err
	}
	s.rows = s.left.imported
	if err := told(t, s); err != nil {
		return err
	}
	for _, d := range []destination{t.legacy, t.runs} {
		if err := d.forget(ctx, d.database); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) begin(ctx context.Context) error {
	t.legacy = destination{t.one, turnLegacy, "public"}
	switch {
	case t.two:
		t.runs = destination{t.other, turnRuns, "public"}
	case t.name == peerOnOne:
		t.runs = destination{t.one, turnLegacy, besideSchema}
		return t.one.fresh(ctx, turnLegacy, bothAdopted, legacyOwner)
	default:
		t.runs = destination{t.one, turnRuns, "public"}
	}
	if err := t.runs.fresh(ctx, turnRuns, runsAdopted, runsOwner); err != nil {
		return err
	}
	return t.one.fresh(ctx, turnLegacy, legacyAdopted, legacyOwner)
}

// timed runs a turn and returns its score.
func (t *turn) timed(ctx context.Context) (score, error) {
	load := measure.LoadAverage()
	walBefore, cpuBefore, err := t.counters(ctx)
	if err != nil {
		return score{}, err
	}
	s, err := t.play(t, ctx)
	if err != nil {
		return s, err
	}
	wal, cpu, err := t.counters(ctx)
	s.load, s.loadAfter, s.wal, s.postgres = load, measure.LoadAverage(), wal-walBefore, cpu-cpuBefore
	return s, err
}

// counters returns the bytes of WAL and the CPU time of both servers; both only grow.
func (t *turn) counters(ctx context.Context) (wal int64, cpu time.Duration, err error) {
	for _, c := range []*cluster{t.one, t.other} {
		var bytes int64
		if err := c.admin.QueryRow(ctx, "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").Scan(&bytes); err != nil {
			return 0, 0, err
		}
		time, err := measure.FamilyTime(c.Pid())
		if err != nil {
			return 0, 0, err
		}
		wal, cpu = wal+bytes, cpu+time
	}
	return wal, cpu, nil
}

func (t *turn) place() place {
	return place{legacy: t.legacy.As(legacyOwner, t.legacy.database), operations: t.runs.As(runsOwner, t.runs.database)}
}

func (t *turn) tool(ctx context.Context) (score, error) {
	s, err := t.takeover(ctx, t.place(), "backfill", "--history=import")
	return score{elapsed: s.elapsed, client: s.cpu, memory: s.memory}, err
}

func (t *turn) verified(ctx context.Context, left state) (*verified, error) {
	s, err := t.takeover(ctx, t.place(), "verify", "--all")
	return &verified{spent: s, rows: left.runs}, err
}

// peer runs the turn of the peer.
func (t *turn) peer(ctx context.Context) (s score, err error) {
	began, before := time.Now(), measure.OwnTime()
	took := map[string]time.Duration{}
	err = t.legacy.on(ctx, t.legacy.database, func(legacy *pgx.Conn) error {
		if _, err := legacy.Exec(ctx, decide); err != nil {
			return err
		}
		if !t.two {
			return t.tables(ctx, legacy, legacy, took)
		}
		return t.runs.on(ctx, t.runs.database, func(runs *pgx.Conn) error { return t.tables(ctx, legacy, runs, took) })
	})
	return score{elapsed: time.Since(began), client: measure.OwnTime() - before, took: took}, err
}

func (t *turn) tables(ctx context.Context, legacy, runs *pgx.Conn, took map[string]time.Duration) error {
	for _, s := range sources {
		p := &peer{source: s, legacy: legacy, runs: runs, to: t.runs, took: took}
		if err := p.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

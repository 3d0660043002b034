package e2e

import (
	"bytes"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killer runs stages of takeovers and kills them with kill -9.
type killer struct {
	rows   string        // ordinary rows of the fixture
	steps  int           // steps of the older installation's work
	kills  int           // kills of each stage
	each   time.Duration // time for the kills of one stage, at most
	seed   uint64
	random *rand.Rand

	stages, hit int // stages so far, and those that were killed at least once
}

func newKiller(t *testing.T) *killer {
	t.Helper()
	k := &killer{rows: "300", steps: 60, kills: 2, each: 800 * time.Millisecond}
	if os.Getenv("TENANTPILOT_PROOF") != "" {
		k.rows, k.steps, k.kills, k.each = "40000", 1000, 50, 45*time.Second
	} else {
		t.Log("TENANTPILOT_PROOF=1 kills more often, among more rows")
	}
	k.seed = uint64(time.Now().UnixNano())      //nolint:gosec // any number is fine
	k.random = rand.New(rand.NewPCG(k.seed, 0)) //nolint:gosec // a seed makes it repeatable
	t.Logf("seed %d", k.seed)
	return k
}

// kill runs a stage again and again, and kills it at a random instant of the time that it
// takes, as far as that is known. Then it runs the stage to its end. If the stage has always
// ended before the kill, it tries twice more: by then it knows how long the stage takes.
func (k *killer) kill(t *testing.T, m *move, stage string) {
	t.Helper()
	killed, runs, takes := 0, 0, 300*time.Millisecond
	for deadline := time.Now().Add(k.each); (runs < k.kills || killed == 0 && runs < k.kills+2) && time.Now().Before(deadline); runs++ {
		after := time.Duration(k.random.Int64N(int64(takes)))
		if took, ended := m.killAfter(t, stage, after); ended {
			takes = took
		} else {
			killed, takes = killed+1, max(takes, 2*after)
		}
	}
	k.stages, k.hit = k.stages+1, k.hit+min(killed, 1)
	began := time.Now()
	finish(t, m, stage)
	t.Logf("%s: killed %d of %d, and then took %s", stage, killed, runs, time.Since(began).Round(time.Millisecond))
}

// killAfter runs a stage and kills it after a while, unless it has ended by then.
func (m *move) killAfter(t *testing.T, stage string, after time.Duration) (took time.Duration, ended bool) {
	t.Helper()
	var said bytes.Buffer
	cmd := m.command(t, strings.Fields(stage)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	ended = timer.Stop()
	require.True(t, err == nil || !ended || passing(said.Bytes()), "takeover %s: %v\n%s", stage, err, said.String())
	return time.Since(began), ended
}

// finish runs a stage until it succeeds. Like an operator, it reads why the stage
// failed: it tries again if the lock of a killed process is still held, and runs adopt
// first if the message says so.
func finish(t *testing.T, m *move, stage string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		said, err := m.command(t, strings.Fields(stage)...).CombinedOutput()
		if err == nil {
			return
		}
		require.True(t, passing(said) && time.Now().Before(deadline), "takeover %s: %v\n%s", stage, err, said)
		if bytes.Contains(said, behind) {
			m.must(t, "adopt")
		}
	}
}

var (
	busy   = []byte("another process works on this takeover") // the lock of a killed process is released a moment later
	behind = []byte("run adopt again")                        // the older installation has linked rows to new runs
)

// passing reports whether the cause of a failure will soon have passed.
func passing(said []byte) bool { return bytes.Contains(said, busy) || bytes.Contains(said, behind) }

// all does every stage, in a takeover that began at the time of its fixture: rows without any
// time get this one.
func (m *move) all(t *testing.T, stages []string, do func(t *testing.T, m *move, stage string)) {
	t.Helper()
	for _, stage := range stages {
		do(t, m, stage)
		if stage == "analyse" {
			_, err := connect(t, m.legacy).Exec(t.Context(), "update tenantpilot_takeover.takeover set created_at = $1", m.now)
			require.NoError(t, err)
		}
	}
}

// asked runs a stage that must fail, and returns the part of its message that a pattern captures.
func (m *move) asked(t *testing.T, stage, part string) string {
	t.Helper()
	said := m.refuses(t, strings.Fields(stage)...)
	found := regexp.MustCompile(part).FindStringSubmatch(said)
	require.NotNil(t, found, "takeover %s does not say %q:\n%s", stage, part, said)
	return found[1]
}

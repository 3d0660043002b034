package e2e

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// runbook is what docs/takeover.md tells an operator to do.
type runbook struct {
	commands  []string // in order
	exports   []string // names of environment variables
	rollbacks []string // the last stage first
}

func readRunbook(t *testing.T) runbook {
	t.Helper()
	text, err := os.ReadFile("../docs/takeover.md")
	require.NoError(t, err)
	var r runbook
	for _, fenced := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		r.commands = append(r.commands, strings.Split(strings.TrimSpace(fenced[1]), "\n")...)
	}
	for _, export := range regexp.MustCompile(`\b(TAKEOVER_[A-Z_]+)=`).FindAllStringSubmatch(string(text), -1) {
		r.exports = append(r.exports, export[1])
	}
	for _, inline := range regexp.MustCompile("`(takeover rollback --to [a-z]+)`").FindAllStringSubmatch(string(text), -1) {
		r.rollbacks = append([]string{inline[1]}, r.rollbacks...)
	}
	return r
}

// operator runs the lines of the runbook in a shell.
type operator struct {
	*move
	api      *runsAPI
	decided  map[string]string // the flags that a plan has asked for, by command
	seen     world
	before   map[string]world // the state before each command
	repeated map[string]bool
	moved    world // the state when everything was taken over
}

// world is the state of both databases.
type world struct{ legacy, runs dump }

func (o *operator) look(t *testing.T) world {
	t.Helper()
	return world{o.legacyDump(t, nil), o.runsDump(t, nil)}
}

func (w world) same(t *testing.T, want world, why string, args ...any) {
	t.Helper()
	w.legacy.same(t, want.legacy, "legacy: "+why, args...)
	w.runs.same(t, want.runs, "operations: "+why, args...)
}

// sh runs a line in a shell.
func (o *operator) sh(t *testing.T, line string) (string, error) {
	t.Helper()
	said, err := o.in(exec.CommandContext(t.Context(), "sh", "-c", line+o.decided[line])).CombinedOutput() //nolint:gosec // from our documentation
	return string(said), err
}

// Every command of the runbook runs in its order, three times, on a legacy database with
// everything odd, with live services. Every promise of the text is checked. Then everything is
// rolled back.
func TestTheRunbookIsTrue(t *testing.T) {
	t.Parallel()
	book := readRunbook(t)
	server := pgtest.Server(t)
	o := &operator{before: map[string]world{}, decided: map[string]string{}, repeated: map[string]bool{}}
	o.move = newMove(t, server, server, "--rows=600", "--linked=40", "--memberships", "--unknown-type", "--loose-tenants")
	o.serve(t, "operations", func(ctx context.Context) error {
		return operations.Service.Run(ctx, o.operationsConfig(options{}), o.log)
	})
	o.api = newRunsAPI(t, o.move)
	for name := range o.environment() {
		require.Contains(t, book.exports, name, "the text exports what the tool needs")
	}
	require.Len(t, book.exports, len(o.environment()), "and nothing else")

	checks := o.promises()
	o.seen = o.look(t)
	for _, line := range book.commands {
		o.do(t, line)
		check, ok := checks[line]
		require.True(t, ok || strings.Contains(line, "--plan"), "nothing is known of what %q promises", line)
		if ok {
			check(t)
		}
	}
	o.goBack(t, book.rollbacks)
}

// do runs one line, and repeats a line that is new, unless it is a plan.
func (o *operator) do(t *testing.T, line string) {
	t.Helper()
	o.before[line] = o.seen
	said, err := o.sh(t, line)
	if err != nil {
		o.decide(t, line, said)
		o.look(t).same(t, o.seen, "what is refused changes nothing: %s", line)
		said, err = o.sh(t, line)
	}
	require.NoError(t, err, "%s\n%s", line, said)
	o.seen = o.look(t)
	if strings.Contains(line, "--plan") {
		o.seen.same(t, o.before[line], "a plan changes nothing: %s", line)
		return
	}
	if !o.repeated[line] {
		o.repeat(t, line)
	}
}

// repeat runs a line twice more, which must change nothing.
func (o *operator) repeat(t *testing.T, line string) {
	t.Helper()
	o.repeated[line] = true
	for range 2 {
		said, err := o.sh(t, line)
		require.NoError(t, err, "again: %s\n%s", line, said)
		o.look(t).same(t, o.seen, "repeated, it changes nothing: %s", line)
	}
}

// decide adds the flags that a plan has asked for; the runbook names them.
func (o *operator) decide(t *testing.T, line, said string) {
	t.Helper()
	require.Equal(t, "takeover adopt --plan", line, "only the plan of adopt asks:\n%s", said)
	for _, option := range []string{"--owner", "--workspace-map", "--type-map"} {
		require.Contains(t, said, option, "the plan says which option decides")
	}
	decided := " --owner=2=3 --workspace-map=20=1,21=1 --type-map=policy.export=archive"
	o.decided["takeover adopt --plan"], o.decided["takeover adopt"] = decided, decided
}

// firsts are the first commands of the stages, by the command that undoes them.
var firsts = map[string]string{
	"takeover rollback --to drop":     "takeover drop --plan --snapshot=legacy-before-drop",
	"takeover rollback --to repoint":  "takeover repoint --plan",
	"takeover rollback --to backfill": "takeover backfill --plan --history=import",
	"takeover rollback --to adopt":    "takeover adopt --plan",
	"takeover rollback --to analyse":  "takeover analyse",
}

// goBack undoes the stages, the last one first, until the legacy database is what it was. When
// only analyse is left, it goes forward once more, and back again.
func (o *operator) goBack(t *testing.T, rollbacks []string) {
	t.Helper()
	require.Len(t, rollbacks, len(firsts), "the text tells how to go back from each stage")
	for _, line := range rollbacks {
		now := o.look(t)
		said, err := o.sh(t, line+" --plan")
		require.NoError(t, err, "%s\n%s", line, said)
		o.look(t).same(t, now, "a plan changes nothing: %s", line)
		said, err = o.sh(t, line)
		require.NoError(t, err, "%s\n%s", line, said)
		want := o.before[firsts[line]]
		o.legacyDump(t, nil).same(t, want.legacy, "as before, by %s", line)
		if line == "takeover rollback --to adopt" {
			o.runsDump(t, nil).same(t, want.runs, "as before, by %s", line)
			o.forward(t)
		}
	}
	dumpOf(t, o.legacy, nil).same(t, o.before["takeover analyse"].legacy, "nothing is left of the tool either")
	o.runsDump(t, nil).same(t, o.before["takeover analyse"].runs, "nothing is left of the runs")
}

// forward takes everything over again, up to the cut-over: the runs are the same, except
// their ids.
func (o *operator) forward(t *testing.T) {
	t.Helper()
	for _, line := range []string{"takeover adopt", "takeover backfill --history=import", "takeover backfill --history=import --cut-over", "takeover verify --all"} {
		said, err := o.sh(t, line)
		require.NoError(t, err, "once more: %s\n%s", line, said)
	}
	blocks := o.blocks(t)
	o.runsDump(t, blocks).same(t, o.moved.runs, "taken over once more")
	o.legacyDump(t, blocks).same(t, o.moved.legacy, "taken over once more")
}

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// frame is one event of a text/event-stream.
type frame struct {
	event, id string
	run       runJSON
	kind      string // the kind of the event that changed the run, if there was one
}

// listen reads an event stream, after the frame last if that is not empty.
func (a *api) listen(t *testing.T, path, last string) (next func() frame, leave func()) {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	t.Cleanup(func() { leave(); resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	return func() frame { return nextFrame(t, lines) }, leave
}

func nextFrame(t *testing.T, lines *bufio.Scanner) frame {
	t.Helper()
	var f frame
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "event":
			f.event = value
		case name == "id":
			f.id = value
		case name == "data" && strings.HasPrefix(value, "{"):
			var change struct {
				Run   runJSON
				Event struct{ Kind string }
			}
			require.NoError(t, json.Unmarshal([]byte(value), &change))
			f.run, f.kind = change.Run, change.Event.Kind
		case name == "" && f.event != "":
			return f
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
	return f
}

// A program follows the runs of a workspace and disconnects while one is running. When it
// comes back, it gets the changes that it has missed.
func TestAProgramFollowsAWorkspace(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true, latency: 200 * time.Millisecond})
	watch := "/api/v1/workspaces/" + f.workspace + "/operations:watch"
	next, leave := f.api.listen(t, watch, "")
	r := f.startSync(t)
	told := next()
	for told.kind != "begun" {
		require.Equal(t, r.ID, told.run.ID)
		told = next()
	}
	progressed := false
	for !progressed {
		told = next()
		require.Equal(t, "change", told.event)
		progressed = told.kind == "" && told.run.SummaryCounts["processed"] != ""
	}
	leave()
	require.Equal(t, succeeded, f.finish(t, r.ID, time.Minute).Outcome)

	next, _ = f.api.listen(t, watch, told.id)
	told = next()
	for told.kind != "completed" {
		require.Empty(t, told.kind, "no event is sent twice")
		told = next()
	}
	require.Equal(t, r.ID, told.run.ID)
	require.Equal(t, succeeded, told.run.Outcome)
}

// A program follows one run to its end, or waits for it.
func TestAProgramFollowsARun(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true, latency: 100 * time.Millisecond})
	r := f.startSync(t)
	next, _ := f.api.listen(t, "/api/v1/operations/"+r.ID+"/events", "")
	told := next()
	var last runJSON
	for told.event == "run" {
		last = told.run
		told = next()
	}
	require.Equal(t, "done", told.event)
	require.Equal(t, succeeded, last.Outcome)

	again := f.startSync(t)
	var answer struct{ Run runJSON }
	f.api.must(t, "GET", "/api/v1/operations/"+again.ID+":wait?timeout=20s", nil, &answer)
	require.Equal(t, succeeded, answer.Run.Outcome)
}

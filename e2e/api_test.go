package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// api is a program that uses the JSON API.
type api struct{ base, token string }

func (a *api) call(t *testing.T, method, path string, body any) (*http.Response, []byte) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.base+path, reader)
	require.NoError(t, err)
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, said
}

// must makes a call that has to succeed, and decodes the response into out.
func (a *api) must(t *testing.T, method, path string, body, out any) {
	t.Helper()
	resp, said := a.call(t, method, path, body)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s %s: %s", method, path, said)
	require.NoError(t, json.Unmarshal(said, out), "%s", said)
}

// runJSON is a run in the format of the API.
type runJSON struct {
	ID             string            `json:"id"`
	Status         string            `json:"status"`
	Outcome        string            `json:"outcome"`
	Attempt        int               `json:"attempt"`
	SummaryCounts  map[string]string `json:"summary_counts"`
	Traceparent    string            `json:"traceparent"`
	InitiatorName  string            `json:"initiator_name"`
	RetryOf        string            `json:"retry_of"`
	RetryNumber    int               `json:"retry_number"`
	FailureSummary []failureJSON     `json:"failure_summary"`
}

type failureJSON struct {
	Code        string `json:"code"`
	Reason      string `json:"reason"`
	Message     string `json:"message"`
	Item        string `json:"item"`
	Remediation string `json:"remediation"`
}

func (f *fleet) startSync(t *testing.T, types ...string) runJSON {
	t.Helper()
	var answer struct{ Run runJSON }
	f.api.must(t, "POST", f.tenantPath("inventory:sync"), map[string]any{"types": types}, &answer)
	return answer.Run
}

func (f *fleet) run(t *testing.T, id string) runJSON {
	t.Helper()
	var answer struct{ Run runJSON }
	f.api.must(t, "GET", "/api/v1/operations/"+id, nil, &answer)
	return answer.Run
}

// finish waits until the run has ended, and returns it.
func (f *fleet) finish(t *testing.T, id string, within time.Duration) runJSON {
	t.Helper()
	var r runJSON
	require.Eventually(t, func() bool {
		r = f.run(t, id)
		return r.Status == "RUN_STATUS_COMPLETED"
	}, within, 50*time.Millisecond, "run %s has not ended", id)
	return r
}

// sync runs a sync to its end. It takes a minute if Graph always sends nonsense, since the
// sync repeats its requests for that long.
func (f *fleet) sync(t *testing.T, types ...string) runJSON {
	t.Helper()
	return f.finish(t, f.startSync(t, types...).ID, 5*time.Minute)
}

type coverageJSON struct {
	Type           string `json:"type"`
	Complete       bool   `json:"complete"`
	ListedCount    string `json:"listed_count"`
	ReadCount      string `json:"read_count"`
	CreatedCount   string `json:"created_count"`
	UpdatedCount   string `json:"updated_count"`
	UnchangedCount string `json:"unchanged_count"`
	RemovedCount   string `json:"removed_count"`
	Reason         string `json:"reason"`
}

func (f *fleet) coverage(t *testing.T, runID string) map[string]coverageJSON {
	t.Helper()
	var answer struct{ Coverage []coverageJSON }
	f.api.must(t, "GET", f.tenantPath("coverage?run_id="+runID), nil, &answer)
	byType := map[string]coverageJSON{}
	for _, c := range answer.Coverage {
		byType[c.Type] = c
	}
	return byType
}

// count returns one number of the inventory database.
func (f *fleet) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, f.inventory.Pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func parseRun(t *testing.T, said []byte) runJSON {
	t.Helper()
	var answer struct{ Run runJSON }
	require.NoError(t, json.Unmarshal(said, &answer))
	return answer.Run
}

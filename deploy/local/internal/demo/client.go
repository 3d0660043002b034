// Package demo runs one inventory sync as any caller of the HTTP API would, and
// tells a person about it.
package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Client calls the gateway with an API token.
type Client struct {
	Base  string // for example http://127.0.0.1:7080
	Token string
}

// Run is the part of the API's operation run that is shown here.
type Run struct {
	ID             int64            `json:"id,string"`
	Type           string           `json:"type"`
	Status         string           `json:"status"`
	Outcome        string           `json:"outcome"`
	SummaryCounts  map[string]count `json:"summary_counts"`
	FailureSummary []Failure        `json:"failure_summary"`
	CreateTime     time.Time        `json:"create_time"`
	CompleteTime   time.Time        `json:"complete_time"`
}

// Completed reports whether the run has ended.
func (r Run) Completed() bool { return r.Status == "RUN_STATUS_COMPLETED" }

// Succeeded reports whether the run ended with everything done.
func (r Run) Succeeded() bool { return r.Completed() && r.Outcome == "RUN_OUTCOME_SUCCEEDED" }

// Failure is one cause of a run not succeeding.
type Failure struct {
	Reason      string `json:"reason"` // FAILURE_REASON_PERMISSION
	Message     string `json:"message"`
	Item        string `json:"item"`
	Remediation string `json:"remediation"`
}

// Coverage is how completely one policy type was read.
type Coverage struct {
	Type      string `json:"type"`
	Complete  bool   `json:"complete"`
	Listed    int64  `json:"listed_count,string"`
	Read      int64  `json:"read_count,string"`
	Failed    int64  `json:"failed_count,string"`
	Created   int64  `json:"created_count,string"`
	Updated   int64  `json:"updated_count,string"`
	Unchanged int64  `json:"unchanged_count,string"`
	Removed   int64  `json:"removed_count,string"`
	Message   string `json:"message"`
}

// count is an int64 as JSON carries it: in quotes, since readers of JSON round numbers.
type count int64

func (c *count) UnmarshalJSON(text []byte) error {
	var n json.Number
	if err := json.Unmarshal(bytes.Trim(text, `"`), &n); err != nil {
		return err
	}
	v, err := n.Int64()
	*c = count(v)
	return err
}

// StartSync starts a sync of every type, or joins the one already active.
func (c Client) StartSync(ctx context.Context, workspace, tenant int64) (Run, error) {
	var answer struct{ Run Run }
	path := fmt.Sprintf("/api/v1/workspaces/%d/tenants/%d/inventory:sync", workspace, tenant)
	err := c.call(ctx, http.MethodPost, path, &answer)
	return answer.Run, err
}

// GetRun reads a run.
func (c Client) GetRun(ctx context.Context, id int64) (Run, error) {
	var answer struct{ Run Run }
	err := c.call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/operations/%d", id), &answer)
	return answer.Run, err
}

// GetCoverage reads the coverage of a run, by type.
func (c Client) GetCoverage(ctx context.Context, workspace, tenant, run int64) ([]Coverage, error) {
	var answer struct{ Coverage []Coverage }
	path := fmt.Sprintf("/api/v1/workspaces/%d/tenants/%d/coverage?operation_run_id=%d", workspace, tenant, run)
	err := c.call(ctx, http.MethodGet, path, &answer)
	return answer.Coverage, err
}

// Scope finds the ids of a workspace by its name and of a tenant by its directory id.
func (c Client) Scope(ctx context.Context, workspace, directory string) (workspaceID, tenantID int64, err error) {
	var w struct {
		Workspaces []struct {
			ID          int64  `json:"id,string"`
			DisplayName string `json:"display_name"`
		}
	}
	if err := c.call(ctx, http.MethodGet, "/api/v1/workspaces", &w); err != nil {
		return 0, 0, err
	}
	for _, each := range w.Workspaces {
		if each.DisplayName == workspace {
			tenantID, err = c.tenant(ctx, each.ID, directory)
			return each.ID, tenantID, err
		}
	}
	return 0, 0, fmt.Errorf("the API knows no workspace %q", workspace)
}

func (c Client) tenant(ctx context.Context, workspace int64, directory string) (int64, error) {
	for page := ""; ; {
		var t struct {
			Tenants []struct {
				ID          int64  `json:"id,string"`
				DirectoryID string `json:"directory_id"`
			}
			NextPageToken string `json:"next_page_token"`
		}
		path := fmt.Sprintf("/api/v1/workspaces/%d/tenants?page_size=200&page_token=%s", workspace, page)
		if err := c.call(ctx, http.MethodGet, path, &t); err != nil {
			return 0, err
		}
		for _, each := range t.Tenants {
			if each.DirectoryID == directory {
				return each.ID, nil
			}
		}
		if page = t.NextPageToken; page == "" {
			return 0, fmt.Errorf("workspace %d has no tenant %s", workspace, directory)
		}
	}
}

func (c Client) call(ctx context.Context, method, path string, answer any) error {
	var body io.Reader
	if method == http.MethodPost {
		body = bytes.NewReader([]byte("{}"))
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %w", method, path, problem(resp, text))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// refusal is a response that is not a success.
type refusal struct {
	status int
	words  string
}

func (r refusal) Error() string { return r.words }

// problem returns the sentence of a failed response, or its status if it has none.
func problem(resp *http.Response, body []byte) error {
	var p struct{ Title, Detail string }
	if json.Unmarshal(body, &p) != nil || p.Detail == "" && p.Title == "" {
		return refusal{resp.StatusCode, resp.Status}
	}
	return refusal{resp.StatusCode, fmt.Sprintf("%s: %s %s", resp.Status, p.Title, p.Detail)}
}

// passing reports whether err may go away by itself: the service or its host cannot
// be reached. A request that the service refused would be refused again.
func passing(err error) bool {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.status >= http.StatusInternalServerError
	}
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

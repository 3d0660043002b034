package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// sync runs one inventory sync of the first tenant through the gateway at base.
func sync(t *testing.T, base, tokenFile string) {
	t.Helper()
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	api := api{base: base + "/api/v1", token: strings.TrimSpace(string(token))}
	var w struct{ Workspaces []struct{ ID string } }
	var ts struct{ Tenants []struct{ ID string } }
	api.must(t, http.MethodGet, "/workspaces", &w)
	api.must(t, http.MethodGet, "/workspaces/"+w.Workspaces[0].ID+"/tenants", &ts)
	var started struct{ Run struct{ ID string } }
	api.must(t, http.MethodPost, "/workspaces/"+w.Workspaces[0].ID+"/tenants/"+ts.Tenants[0].ID+"/inventory:sync", &started)
	var got struct {
		Run struct{ Status, Outcome string }
	}
	eventually(t, "the sync has ended", func(ctx context.Context) error {
		if err := api.call(ctx, http.MethodGet, "/operations/"+started.Run.ID, &got); err != nil {
			return err
		}
		if got.Run.Status != "RUN_STATUS_COMPLETED" {
			return fmt.Errorf("it is %s", got.Run.Status)
		}
		return nil
	})
	if got.Run.Outcome != "RUN_OUTCOME_SUCCEEDED" {
		t.Errorf("the sync ended %s", got.Run.Outcome)
	}
}

type api struct{ base, token string }

func (a api) must(t *testing.T, method, path string, answer any) {
	t.Helper()
	if err := a.call(t.Context(), method, path, answer); err != nil {
		t.Fatal(err)
	}
}

func (a api) call(ctx context.Context, method, path string, answer any) error {
	body := strings.NewReader("")
	if method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

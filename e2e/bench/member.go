package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/gateway"
)

// howMany is the number of members that watch: as many as may sign in from one address at once.
const howMany = 10

// member is a member of the workspace, with an API token and a browser session.
type member struct {
	token   string
	session *http.Cookie
}

// site is the address of the gateway.
func (w *world) site(path string) string { return "http://" + w.fleet[gateway.Name].address + path }

// invite makes the members.
func (w *world) invite(ctx context.Context) error {
	owner, err := os.ReadFile(w.file("token"))
	if err != nil {
		return err
	}
	as := member{token: strings.TrimSpace(string(owner))}
	var mine struct{ Workspaces []struct{ ID string } }
	if err := w.call(ctx, as, http.MethodGet, "/api/v1/workspaces", nil, &mine); err != nil {
		return err
	}
	w.workspace = mine.Workspaces[0].ID
	for n := range howMany {
		m, err := w.invite1(ctx, as, fmt.Sprintf("Member %d", n))
		if err != nil {
			return fmt.Errorf("member %d: %w", n, err)
		}
		w.members = append(w.members, m)
	}
	return nil
}

func (w *world) invite1(ctx context.Context, owner member, name string) (m member, err error) {
	var added struct {
		Member struct {
			UserID string `json:"user_id"`
		}
	}
	path := "/api/v1/workspaces/" + w.workspace
	err = w.call(ctx, owner, http.MethodPost, path+"/members", map[string]any{"display_name": name, "role": "ROLE_READONLY"}, &added)
	if err != nil {
		return m, err
	}
	var made struct{ Secret string }
	err = w.call(ctx, owner, http.MethodPost, path+"/apiTokens", map[string]any{
		"display_name": name, "user_id": added.Member.UserID, "max_role": "ROLE_READONLY",
	}, &made)
	if err != nil {
		return m, err
	}
	m.token = made.Secret
	m.session, err = w.signIn(ctx, m.token)
	return m, err
}

// call makes a call of the JSON API that must succeed.
func (w *world) call(ctx context.Context, as member, method, path string, body, out any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, w.site(path), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if method == http.MethodGet {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Header.Set("Authorization", "Bearer "+as.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, said)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (w *world) signIn(ctx context.Context, token string) (*http.Cookie, error) {
	form := strings.NewReader(url.Values{"token": {token}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.site("/login"), form)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultTransport.RoundTrip(req) // the response is a redirect
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if cookies := resp.Cookies(); len(cookies) == 1 {
		return cookies[0], nil
	}
	return nil, fmt.Errorf("sign in: %s", resp.Status)
}

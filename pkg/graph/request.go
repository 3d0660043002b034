package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
)

// Get returns the body at path, which begins with the version: "/beta/…".
func (c *Client) Get(ctx context.Context, path string) (json.RawMessage, error) {
	target, err := c.pool.target(path)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodGet, target, &call{
		bucket: c.bucket(path), repeatable: true,
	})
}

// do sends one request through the pipeline and returns the body of the response.
func (c *Client) do(ctx context.Context, method, target string, of *call) (json.RawMessage, error) {
	req, err := runtime.NewRequest(ctx, method, target)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	of.client = c
	req.Raw().Header.Set("Accept", "application/json")
	req.SetOperationValue(of)
	runtime.SkipBodyDownload(req)                 // ours is limited in size, and part of each attempt
	if _, err := c.pipeline.Do(req); err != nil { //nolint:bodyclose // each attempt reads and closes its own
		return nil, err
	}
	return of.body, nil
}

func setPayload(req *policy.Request, payload []byte) error {
	if payload == nil {
		return nil
	}
	return req.SetBody(streaming.NopCloser(bytes.NewReader(payload)), "application/json")
}

// target returns the full address of a path.
func (p *Pool) target(path string) (string, error) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return "", fmt.Errorf("graph: path %q does not begin with a version", path)
	}
	return p.cfg.BaseURL + path, nil
}

// allowed refuses an address that is not on the list of hosts: a link in a
// response must not make us send the token elsewhere.
func (p *Pool) allowed(u *url.URL) error {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	secure := u.Scheme == "https" || p.insecure && u.Scheme == "http"
	known := slices.ContainsFunc(p.cfg.AllowedHosts, func(h string) bool {
		return strings.TrimSuffix(strings.ToLower(h), ":443") == host
	})
	if secure && known && u.User == nil {
		return nil
	}
	return &Error{Class: ClassDependency, Code: CodeForeignHost, Message: "refused to follow a link to " + scrub(u.Scheme+"://"+u.Host)}
}

// local removes our own base from a link, which leaves "/beta/…" byte for byte. A
// link to another allowed host stays whole.
func (p *Pool) local(link string) string {
	if rest, ok := strings.CutPrefix(link, p.cfg.BaseURL); ok && strings.HasPrefix(rest, "/") {
		return rest
	}
	return link
}

func bytesText(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

package graph

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// Exist asks for objects of a type one by one. It returns the ids of those that
// exist, in the order of ids, and the number of requests that took. It proves
// more than a list: an object that moves while a list is read page by page may be
// on none of the pages. If it cannot find out about one of the objects, it
// returns an error.
func (c *Client) Exist(ctx context.Context, t catalog.Type, ids []string) (there []string, requests int, err error) {
	c = c.counting()
	reqs := make([]BatchRequest, len(ids))
	for i, id := range ids {
		reqs[i].Path = strings.TrimPrefix(itemPath(t, id), "/"+t.Version)
	}
	answers, err := c.Batch(ctx, t.Version, reqs)
	requests = int(c.sent.Load())
	if err != nil {
		return nil, requests, err
	}
	for i, a := range answers {
		var refused *Error
		switch {
		case a.Err == nil:
			there = append(there, ids[i])
		case errors.As(a.Err, &refused) && refused.Status == http.StatusNotFound:
		default:
			return nil, requests, a.Err
		}
	}
	return there, requests, nil
}

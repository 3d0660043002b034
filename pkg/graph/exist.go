package graph

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Exist asks for objects of a type one by one and answers the ids of those that
// are there, in the order asked, and how many requests it took. A list proves
// less: what moves while it is paged may be in none of its pages. The error says
// that of some it could not be told.
func (c *Client) Exist(ctx context.Context, t Type, ids []string) (there []string, requests int, err error) {
	c = c.counting()
	reqs := make([]BatchRequest, len(ids))
	for i, id := range ids {
		reqs[i].Path = strings.TrimPrefix(t.item(id), "/"+t.Version)
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

package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjson"
)

// page is one page of a collection.
type page struct {
	value []json.RawMessage
	next  string
}

// readPage splits a valid body into its elements, which keep their bytes.
func readPage(body json.RawMessage) (page, error) {
	var p page
	list := false
	for key, value := range rawjson.Fields(body) {
		switch key {
		case "value":
			list = rawjson.Begins(value) == '['
			p.value = slices.AppendSeq(p.value[:0], rawjson.Elements(value))
		case "@odata.nextLink":
			p.next = rawjson.Unquote(value)
		}
	}
	if !list {
		return page{}, &Error{Class: ClassDependency, Code: CodeMalformed, Message: "the page has no list named value"}
	}
	return p, nil
}

// Each calls each with the elements of the collection at path, page after page,
// exactly as sent. A nil error means that the collection was read to its end.
func (c *Client) Each(ctx context.Context, path string, each func(json.RawMessage) error) error {
	var trail trail
	for link := path; link != ""; {
		if err := trail.enter(link); err != nil {
			return err
		}
		body, err := c.follow(ctx, link)
		if err != nil {
			return err
		}
		p, err := readPage(body)
		if err != nil {
			return err
		}
		for _, element := range p.value {
			if err := each(element); err != nil {
				return err
			}
		}
		link = c.pool.local(p.next) // an empty page with a next one is not the end
	}
	return nil
}

// follow requests a path, or a link exactly as Graph gave it.
func (c *Client) follow(ctx context.Context, link string) (json.RawMessage, error) {
	if link[0] == '/' {
		return c.Get(ctx, link)
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, &Error{Class: ClassDependency, Code: CodeMalformed, Message: "the link to the next page is no URL"}
	}
	if err := c.pool.allowed(u); err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodGet, link, &call{bucket: c.bucket(u.Path), repeatable: true})
}

// trail remembers the pages of one enumeration, to notice when a link leads back
// to one of them.
type trail map[string]bool

func (t *trail) enter(link string) error {
	if *t == nil {
		*t = make(trail)
	}
	if (*t)[link] {
		return &Error{Class: ClassDependency, Code: CodeLoop, Message: "the next page is one that was already read"}
	}
	(*t)[link] = true
	return nil
}

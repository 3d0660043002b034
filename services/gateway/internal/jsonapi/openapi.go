package jsonapi

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// openapi describes the JSON API and the event streams beside it. It is made of
// gen/openapi, by the test that also proves that the two agree.
//
//go:embed openapi.json
var openapi []byte

// OpenAPI serves the description of the API.
func OpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openapi)
}

// described returns the routes that openapi.json describes. Event streams that are
// nothing else are not among them: package live serves those.
func described() ([]route, error) {
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]any `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(openapi, &doc); err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	var routes []route
	for path, item := range doc.Paths {
		for method, operation := range item {
			if _, json := operation.Responses["200"].Content["application/json"]; json {
				routes = append(routes, route{method: strings.ToUpper(method), path: path})
			}
		}
	}
	return routes, nil
}

// Complete returns an error if the API does not serve a route that openapi.json
// describes. The document is made of all protos, so that happens when a gRPC service
// with HTTP bindings is missing in the table of services. It also returns an error if
// the document does not describe a route that is served.
func (a *API) Complete() error {
	routes, err := described()
	if err != nil {
		return err
	}
	var missing, unknown []string
	for _, route := range routes {
		if !a.serves(route) {
			missing = append(missing, route.String())
		}
	}
	for bound := range a.resources {
		if !slices.ContainsFunc(routes, func(r route) bool { return r.String() == bound }) {
			unknown = append(unknown, bound)
		}
	}
	return errors.Join(
		unless(missing, "openapi.json describes %s, and no handler in the table of services/gateway/services.go serves it"),
		unless(unknown, "openapi.json does not describe %s: run make generate"),
	)
}

func (a *API) serves(route route) bool {
	r := &http.Request{Method: route.method, URL: &url.URL{Path: route.path}, Header: http.Header{}}
	return slices.Contains(a.methods(r), route.method)
}

// unless returns an error about the routes unless there are none.
func unless(routes []string, format string) error {
	if len(routes) == 0 {
		return nil
	}
	slices.Sort(routes)
	return fmt.Errorf(format, strings.Join(routes, ", "))
}

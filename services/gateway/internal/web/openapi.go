package web

import (
	_ "embed"
	"net/http"
)

// openapi describes the JSON API. It is made from gen/openapi, by the test that
// also proves that the two agree.
//
//go:embed openapi.json
var openapi []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openapi)
}

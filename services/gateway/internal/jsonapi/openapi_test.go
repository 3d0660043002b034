package jsonapi

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

// TestOpenAPI compares openapi.json with what is generated from the protos. With
// -update it writes the file.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	doc := convert(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Errorf("not valid OpenAPI: %v", err)
	}
	want, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *webtest.Update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, openapi) {
		t.Error("openapi.json is not what gen/openapi says; run this test with -update")
	}
}

// The error names the routes of a gRPC service that nobody registers, and a route that
// the document does not describe.
func TestIncompleteAPI(t *testing.T) {
	t.Parallel()
	site, backends, _ := webtest.NewSite(t, nil)
	served := handlers()
	a, err := New(t.Context(), site, backends, served)
	webtest.Must(t, err)
	if err := a.Complete(); err != nil && strings.Contains(err.Error(), "inventory:sync") {
		t.Errorf("all handlers: %v", err)
	}
	delete(served, "inventory")
	a, err = New(t.Context(), site, backends, served)
	webtest.Must(t, err)
	a.resources["GET /api/v1/nothing"] = ""
	err = a.Complete()
	for _, want := range []string{"POST /api/v1/workspaces/{workspace_id}/tenants/{tenant_id}/inventory:sync", "services.go", "not describe GET /api/v1/nothing:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

// convert makes OpenAPI 3 of the generator's Swagger 2. It adds the bearer token and the
// problem body, which every route has, and the event streams.
func convert(t *testing.T) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile("../../../../gen/openapi/tenantpilot.swagger.json")
	if err != nil {
		t.Fatal(err)
	}
	var old openapi2.T
	if err := json.Unmarshal(raw, &old); err != nil {
		t.Fatal(err)
	}
	doc, err := openapi2conv.ToV3(&old)
	if err != nil {
		t.Fatal(err)
	}
	doc.Info = &openapi3.Info{
		Title: "TenantPilot", Version: "v1",
		Description: "Inventory, drift, backup and restore for Microsoft 365 tenants. Ids and 64-bit counters are strings. " +
			"Calls that start or create something take an Idempotency-Key header: two calls with the same key take effect once.",
	}
	doc.Servers = nil
	doc.Components.SecuritySchemes = openapi3.SecuritySchemes{
		"token": &openapi3.SecuritySchemeRef{Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("bearer").
			WithDescription("An API token of a workspace's member.")},
	}
	doc.Security = openapi3.SecurityRequirements{{"token": {}}}
	doc.Components.Schemas["Problem"] = problemSchema()
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			op.Responses.Set("default", problemResponse())
		}
	}
	addStreams(doc)
	doc = reload(t, doc)
	addIdempotencyKey(doc)
	return doc
}

// addIdempotencyKey adds the header to every operation whose body has a request_id.
func addIdempotencyKey(doc *openapi3.T) {
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.RequestBody == nil {
				continue
			}
			body := op.RequestBody.Value.Content.Get("application/json").Schema.Value
			if body.Properties["request_id"] == nil {
				continue
			}
			header := openapi3.NewHeaderParameter("Idempotency-Key").WithSchema(openapi3.NewStringSchema().WithMaxLength(128))
			header.Description = "Two calls with the same key take effect once. It is the request_id of the body; send one of the two."
			op.AddParameter(header)
		}
	}
}

// reload resolves the references, which the converter does not.
func reload(t *testing.T, doc *openapi3.T) *openapi3.T {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	doc, err = openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func problemSchema() *openapi3.SchemaRef {
	text := func(about string) *openapi3.Schema {
		s := openapi3.NewStringSchema()
		s.Description = about
		return s
	}
	field := openapi3.NewObjectSchema().WithProperty("field", text("The field's name in the request.")).
		WithProperty("message", text("What is wrong with it."))
	facts := openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewStringSchema())
	facts.Description = "Facts for a program, for example the id of the run that is already active."
	s := openapi3.NewObjectSchema().
		WithProperty("type", text("Always about:blank.")).
		WithProperty("title", text("The status in words.")).
		WithProperty("status", openapi3.NewIntegerSchema()).
		WithProperty("detail", text("What happened, for a person.")).
		WithProperty("code", text("What happened, for a program: NOT_FOUND, INVALID_FIELD, CAPABILITY_MISSING…")).
		WithProperty("request_id", text("Quote it when asking for help.")).
		WithProperty("errors", openapi3.NewArraySchema().WithItems(field)).
		WithProperty("metadata", facts).
		WithProperty("retry_after_seconds", openapi3.NewIntegerSchema())
	s.Required = []string{"type", "title", "status", "detail", "code", "request_id"}
	s.Description = "An RFC 9457 problem: the body of every failed call."
	return openapi3.NewSchemaRef("", s)
}

func problemResponse() *openapi3.ResponseRef {
	description := "What went wrong."
	ref := openapi3.NewSchemaRef("#/components/schemas/Problem", nil)
	return &openapi3.ResponseRef{Value: &openapi3.Response{
		Description: &description,
		Content:     openapi3.Content{"application/problem+json": openapi3.NewMediaType().WithSchemaRef(ref)},
	}}
}

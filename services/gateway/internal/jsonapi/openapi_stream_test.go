package jsonapi

import (
	"github.com/getkin/kin-openapi/openapi3"
)

// Where the event streams are: of one run, beside its history as JSON, and of a
// workspace. The protos cannot bind them, so they are added to what is made of those.
const (
	runStream       = "/api/v1/operations/{run_id}/events"
	workspaceStream = "/api/v1/workspaces/{workspace_id}/operations:watch"
)

func addStreams(doc *openapi3.T) {
	doc.Components.Schemas["RunChange"] = changeSchema()
	of := doc.Paths.Value(runStream).Get
	of.Description = "As JSON, the history so far. With `Accept: text/event-stream`, the run from now on: `event: run` whenever it changes and " +
		"`event: done`, its outcome in data, at its end; the stream ends after it. `event: signed-out` ends the stream of who may no longer see it."
	of.Responses.Value("200").Value.Content["text/event-stream"] = eventStream()
	watch := &openapi3.Operation{
		OperationID: "WatchRuns", Tags: of.Tags, Summary: "Streams what happens to the runs of a workspace.",
		Description: "First `event: snapshot` for every active run (and for each named by run_id, active or not), then `event: change` " +
			"whenever a run changes; of changes that come close together the last. With Last-Event-ID, what has happened since instead of a " +
			"snapshot; `event: reset` says that this is not possible, and a snapshot follows. `event: signed-out` ends the stream of who may no longer see it.",
		Parameters: openapi3.Parameters{
			{Value: openapi3.NewPathParameter("workspace_id").WithSchema(number()).WithDescription("The workspace.")},
			{Value: openapi3.NewQueryParameter("tenant_id").WithSchema(number()).WithDescription("Only runs of this tenant.")},
			{Value: many("type", openapi3.NewStringSchema(), 50).WithDescription("Only runs of these types; repeatable.")},
			{Value: many("run_id", number(), 200).WithDescription("Only these runs; repeatable.")},
			{Value: openapi3.NewHeaderParameter("Last-Event-ID").WithSchema(openapi3.NewStringSchema()).WithDescription("Go on from after this event.")},
		},
		Responses: openapi3.NewResponses(),
	}
	answer := openapi3.NewResponse().WithDescription("The stream. A line that begins with a colon, at least every 15 s, is a sign of life.")
	answer.Content = openapi3.Content{"text/event-stream": eventStream()}
	watch.Responses.Set("200", &openapi3.ResponseRef{Value: answer})
	watch.Responses.Set("default", problemResponse())
	doc.Paths.Set(workspaceStream, &openapi3.PathItem{Get: watch})
}

func number() *openapi3.Schema { return openapi3.NewStringSchema().WithFormat("int64") }

func many(name string, of *openapi3.Schema, most int64) *openapi3.Parameter {
	return openapi3.NewQueryParameter(name).WithSchema(openapi3.NewArraySchema().WithItems(of).WithMaxItems(most))
}

func eventStream() *openapi3.MediaType {
	return openapi3.NewMediaType().WithSchemaRef(openapi3.NewSchemaRef("#/components/schemas/RunChange", nil))
}

func changeSchema() *openapi3.SchemaRef {
	s := openapi3.NewObjectSchema().
		WithPropertyRef("run", openapi3.NewSchemaRef("#/components/schemas/v1Run", nil)).
		WithPropertyRef("event", openapi3.NewSchemaRef("#/components/schemas/v1RunEvent", nil))
	s.Description = "The data of an event about a run: the run as it now is, on a workspace's stream without context and failures, and the " +
		"transition that changed it; without one, progress was reported."
	return openapi3.NewSchemaRef("", s)
}

package jsonapi

import (
	"github.com/getkin/kin-openapi/openapi3"
)

// The addresses of the event streams. That of a run is also the address of its events
// as JSON. Protos cannot bind event streams, so they are added to the generated document.
const (
	runStream       = "/api/v1/operations/{run_id}/events"
	workspaceStream = "/api/v1/workspaces/{workspace_id}/operations:watch"
)

func addStreams(doc *openapi3.T) {
	doc.Components.Schemas["RunChange"] = changeSchema()
	of := doc.Paths.Value(runStream).Get
	of.Description = "Returns the events so far as JSON. With `Accept: text/event-stream` it streams the run instead: `event: run` now and whenever it " +
		"changes, and `event: done` with its outcome as data when it has ended. `event: signed-out` means that the caller may no longer see the run. Both end the stream."
	of.Responses.Value("200").Value.Content["text/event-stream"] = eventStream()
	watch := &openapi3.Operation{
		OperationID: "WatchRuns", Tags: of.Tags, Summary: "Streams what happens to the runs of a workspace.",
		Description: "Sends `event: snapshot` for every active run, or for each run that run_id names, active or not. Then it sends `event: change` " +
			"whenever a run changes; of several changes in a short time it sends the last. With Last-Event-ID it sends what has happened since that event " +
			"instead of a snapshot. If that is not possible, it sends `event: reset` and then a snapshot. `event: signed-out` means that the caller may no " +
			"longer see the runs; it ends the stream.",
		Parameters: openapi3.Parameters{
			{Value: openapi3.NewPathParameter("workspace_id").WithSchema(number()).WithDescription("The workspace.")},
			{Value: openapi3.NewQueryParameter("tenant_id").WithSchema(number()).WithDescription("Only runs of this tenant.")},
			{Value: many("type", openapi3.NewStringSchema(), 50).WithDescription("Only runs of these types. May be given several times.")},
			{Value: many("run_id", number(), 200).WithDescription("Only these runs. May be given several times.")},
			{Value: openapi3.NewHeaderParameter("Last-Event-ID").WithSchema(openapi3.NewStringSchema()).WithDescription("The id of the last event that was received.")},
		},
		Responses: openapi3.NewResponses(),
	}
	stream := openapi3.NewResponse().WithDescription("The stream. A line that begins with a colon, at least every 15 s, is a sign of life.")
	stream.Content = openapi3.Content{"text/event-stream": eventStream()}
	watch.Responses.Set("200", &openapi3.ResponseRef{Value: stream})
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
	s.Description = "The data of an event about a run: the run as it is now, and the event that changed it. There is no event if only " +
		"progress was reported. On a workspace's stream the run has no context and no failures."
	return openapi3.NewSchemaRef("", s)
}

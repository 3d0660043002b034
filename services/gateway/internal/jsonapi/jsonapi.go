// Package jsonapi is the JSON API: grpc-gateway, which makes it of the HTTP bindings
// in the protos, behind the checks that must come before a service is called. There
// is no logic of single routes here, and no pages or event streams.
package jsonapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// API serves everything below /api/. It checks a request in this order:
// authentication, rate, path, membership, body.
type API struct {
	site      *web.Site
	gateway   *runtime.ServeMux
	resources map[string]string // by route: what the thing in its path is called
}

// Handler registers a gRPC service with an HTTP mux. [Serve] makes one.
type Handler func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error

// Serve returns the handler of a gRPC service with HTTP bindings, from two functions
// that are generated for it:
//
//	Serve(tenancyv1.RegisterTenantServiceHandlerClient, tenancyv1.NewTenantServiceClient)
func Serve[C any](register func(context.Context, *runtime.ServeMux, C) error, client func(grpc.ClientConnInterface) C) Handler {
	return func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
		return register(ctx, mux, client(conn))
	}
}

// New returns an API that serves the handlers of each backend, by its name.
func New(ctx context.Context, site *web.Site, backends web.Backends, handlers map[string][]Handler) (*API, error) {
	a := &API{site: site, resources: resources()}
	a.gateway = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
		}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithMiddlewares(a.checked),
		runtime.WithRoutingErrorHandler(a.unrouted),
		runtime.WithErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			web.Fail(w, r, explain(err))
		}),
	)
	for _, b := range backends {
		for _, register := range handlers[b.Name] {
			if err := register(ctx, a.gateway, keyed{b.Conn}); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.gateway.ServeHTTP(w, r) }

// checked refuses what the services need not see, and calls next for the rest. values
// are those of the path, by the names that the proto gives them.
func (a *API) checked(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, values map[string]string) {
		route := routeOf(r)
		if p := probeOf(r); p != nil {
			p.found(route, values)
			return
		}
		if a.misses(r, values) {
			a.refuseRoute(w, r)
			return
		}
		trace.SpanFromContext(r.Context()).SetName(route.String())
		ctx, who, err := a.site.Authenticate(r, web.Bearer)
		switch {
		case err != nil:
			web.Fail(w, r, err)
		case !visible(who, values):
			web.Fail(w, r, errs.NotFound(a.resources[route.String()]))
		default:
			a.forward(ctx, w, r, func(w http.ResponseWriter, r *http.Request) { next(w, r, values) })
		}
	}
}

// visible reports whether the workspace in the path is one of who's, and every id is
// written as we write ids. An id that is malformed, missing or of somebody else's
// thing gets the same problem, whatever the body says.
func visible(who web.Caller, values map[string]string) bool {
	for name, value := range values {
		id, ok := web.ParseID(value)
		if !ok {
			return false
		}
		if name == "workspace_id" {
			if _, member := who.Role(id); !member {
				return false
			}
		}
	}
	return true
}

// forward checks query and body, and calls next without the request's headers: they
// are not for the services.
func (a *API) forward(ctx context.Context, w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if _, err := web.ParseQuery(r.URL.RawQuery); err != nil {
		web.Fail(w, r, err)
		return
	}
	key, err := idempotencyKey(r)
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	body, err := readBody(r)
	if errors.Is(err, errTooLarge) {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusRequestEntityTooLarge, Code: "BODY_TOO_LARGE", Detail: "the body is larger than 1 MiB"})
		return
	}
	if err != nil {
		web.Fail(w, r, err)
		return
	}
	inner := r.Clone(withIdempotencyKey(ctx, key))
	inner.Header = http.Header{}
	inner.Body = io.NopCloser(bytes.NewReader(body))
	w.Header().Set("Cache-Control", "no-store")
	next(w, inner)
}

package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// api is the JSON API: grpc-gateway behind the checks that must come before it,
// in the order authentication, rate, path, membership, body.
type api struct {
	site    *Site
	routes  []route
	gateway *runtime.ServeMux
}

func newAPI(ctx context.Context, s *Site) (*api, error) {
	a := &api{site: s, routes: routesOf(), gateway: runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
		}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			fail(w, r, explain(err))
		}),
	)}
	return a, a.register(ctx)
}

func (a *api) register(ctx context.Context) error {
	operations, tenancy, inventory := keyed{a.site.cfg.Operations}, keyed{a.site.cfg.Tenancy}, keyed{a.site.cfg.Inventory}
	return errors.Join(
		operationsv1.RegisterRunReaderServiceHandlerClient(ctx, a.gateway, operationsv1.NewRunReaderServiceClient(operations)),
		operationsv1.RegisterRunServiceHandlerClient(ctx, a.gateway, operationsv1.NewRunServiceClient(operations)),
		tenancyv1.RegisterWorkspaceReaderServiceHandlerClient(ctx, a.gateway, tenancyv1.NewWorkspaceReaderServiceClient(tenancy)),
		tenancyv1.RegisterWorkspaceServiceHandlerClient(ctx, a.gateway, tenancyv1.NewWorkspaceServiceClient(tenancy)),
		tenancyv1.RegisterTenantReaderServiceHandlerClient(ctx, a.gateway, tenancyv1.NewTenantReaderServiceClient(tenancy)),
		tenancyv1.RegisterTenantServiceHandlerClient(ctx, a.gateway, tenancyv1.NewTenantServiceClient(tenancy)),
		tenancyv1.RegisterApiTokenServiceHandlerClient(ctx, a.gateway, tenancyv1.NewApiTokenServiceClient(tenancy)),
		inventoryv1.RegisterInventoryReaderServiceHandlerClient(ctx, a.gateway, inventoryv1.NewInventoryReaderServiceClient(inventory)),
		inventoryv1.RegisterInventoryServiceHandlerClient(ctx, a.gateway, inventoryv1.NewInventoryServiceClient(inventory)),
	)
}

// ServeHTTP refuses what the services need not see, and hands on the rest.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, values, allow := find(a.routes, r.Method, r.URL.Path)
	if route.method == "" && allow == nil {
		writeProblem(w, r, problem{Status: http.StatusNotFound, Code: "NO_SUCH_ROUTE", Detail: "there is nothing at this address; see /openapi.json"})
		return
	}
	if route.method != "" {
		trace.SpanFromContext(r.Context()).SetName(route.String())
	}
	ctx, who, err := a.admit(r)
	switch {
	case err != nil:
		fail(w, r, err)
	case route.method == "":
		w.Header().Set("Allow", strings.Join(allow, ", "))
		writeProblem(w, r, problem{Status: http.StatusMethodNotAllowed, Code: "METHOD_NOT_ALLOWED", Detail: "this address takes " + strings.Join(allow, ", ")})
	case !visible(who, values):
		fail(w, r, errs.NotFound(route.resource))
	default:
		a.forward(ctx, w, r)
	}
}

// admit says who is calling and whether they may call this often.
func (a *api) admit(r *http.Request) (context.Context, actor.Actor, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, actor.Actor{}, errors.Join(a.site.strangers.take(peer(r)), err)
	}
	return a.site.admit(r, token)
}

// visible reports whether every id in the path could be one of ours, and the
// workspace is one of who's: the same answer for a malformed, a missing and a
// foreign one, whatever the body says.
func visible(who actor.Actor, values map[string]string) bool {
	for name, value := range values {
		id, ok := parseID(value)
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

// forward checks query and body and calls grpc-gateway with nothing of the
// request's headers: they are not for the services.
func (a *api) forward(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if err := checkQuery(r.URL.RawQuery); err != nil {
		fail(w, r, err)
		return
	}
	key, err := idempotencyKey(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	body, err := readBody(r)
	if errors.Is(err, errTooLarge) {
		writeProblem(w, r, problem{Status: http.StatusRequestEntityTooLarge, Code: "BODY_TOO_LARGE", Detail: "the body is larger than 1 MiB"})
		return
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	inner := r.Clone(withIdempotencyKey(ctx, key))
	inner.Header = http.Header{}
	inner.Body = io.NopCloser(bytes.NewReader(body))
	w.Header().Set("Cache-Control", "no-store")
	a.gateway.ServeHTTP(w, inner)
}

// explain gives the words of grpc-gateway's own refusals, which are statuses
// without a reason, the shape of ours. Every other error is left as it is.
func explain(err error) error {
	if _, ok := errs.As(err); ok {
		return err
	}
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.InvalidArgument || len(s.Details()) > 0 {
		return err
	}
	for _, shape := range shapes {
		if m := shape.pattern.FindStringSubmatch(s.Message()); m != nil {
			return errs.Invalid(m[1], "%s", shape.says)
		}
	}
	return errMalformed("the body does not fit the request%s", position(s.Message()))
}

type shape struct {
	pattern *regexp.Regexp
	says    string
}

// The refusals of protojson and of grpc-gateway's query parser.
var (
	shapes = []shape{
		{regexp.MustCompile(`unknown field "([^"]+)"`), "is not a field of this request"},
		{regexp.MustCompile(`duplicate field "([^"]+)"`), "is given twice"},
		{regexp.MustCompile(`duplicate map key "([^"]+)"`), "is given twice"},
		{regexp.MustCompile(`invalid value for \w+ field (\w+)`), "has a value of the wrong kind"},
		{regexp.MustCompile(`invalid value for \w+ (?:type|value)?:? ?()`), "a value is of the wrong kind"},
		{regexp.MustCompile(`parsing (?:field|list) "([^"]+)"`), "has a value of the wrong kind"},
		{regexp.MustCompile(`too many values for field "([^"]+)"`), "is given more than once"},
		{regexp.MustCompile(`invalid path: "([^"]+)"`), "is not a field of this request"},
	}
	place = regexp.MustCompile(`\(line (\d+):(\d+)\)`)
)

// position is where protojson stopped: " at line 1, column 14".
func position(message string) string {
	m := place.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	return " at line " + m[1] + ", column " + m[2]
}

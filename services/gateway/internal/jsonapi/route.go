package jsonapi

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// route is a method and a path pattern: POST and "/api/v1/operations/{run_id}:cancel".
type route struct {
	method, path string
	verb         string // "cancel" of the path above
}

// String returns the route as the name of a span.
func (r route) String() string { return r.method + " " + r.path }

// routeOf returns the route that grpc-gateway found for a request.
func routeOf(r *http.Request) route {
	pattern, _ := runtime.HTTPPattern(r.Context())
	return route{method: r.Method, path: strings.ReplaceAll(pattern.String(), "=*}", "}"), verb: pattern.Verb()}
}

// resources returns what the thing in a route's path is called, for example "run", for
// every HTTP binding of the protos. The method's authorization rule says it.
func resources() map[string]string {
	resources := map[string]string{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if bound, ok := bindingOf(methods.Get(j)); ok {
					rule, _ := proto.GetExtension(methods.Get(j).Options(), authzv1.E_Rule).(*authzv1.Rule)
					resources[bound.String()] = rule.GetResource()
				}
			}
		}
		return true
	})
	return resources
}

// bindingOf returns the route that a proto binds a method to, and whether it does.
func bindingOf(m protoreflect.MethodDescriptor) (route, bool) {
	binding, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || binding == nil {
		return route{}, false
	}
	switch p := binding.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return route{method: http.MethodGet, path: p.Get}, true
	case *annotations.HttpRule_Post:
		return route{method: http.MethodPost, path: p.Post}, true
	case *annotations.HttpRule_Put:
		return route{method: http.MethodPut, path: p.Put}, true
	case *annotations.HttpRule_Patch:
		return route{method: http.MethodPatch, path: p.Patch}, true
	case *annotations.HttpRule_Delete:
		return route{method: http.MethodDelete, path: p.Delete}, true
	}
	return route{}, false
}

// misses reports whether grpc-gateway found a route that is none of ours for this
// request: one with an empty id, or one that takes "12:cancel" for an id although
// that is a verb of another method.
func (a *API) misses(r *http.Request, values map[string]string) bool {
	return hasEmpty(values) || strings.Contains(path.Base(r.URL.Path), ":") && !slices.Contains(a.methods(r), r.Method)
}

func hasEmpty(values map[string]string) bool {
	for _, v := range values {
		if v == "" {
			return true
		}
	}
	return false
}

// unrouted is called by grpc-gateway for a request that it has no route for.
func (a *API) unrouted(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	if probeOf(r) == nil {
		a.refuseRoute(w, r)
	}
}

// refuseRoute says which methods the address takes, or that there is nothing at it.
func (a *API) refuseRoute(w http.ResponseWriter, r *http.Request) {
	allow := strings.Join(a.methods(r), ", ")
	if allow == "" {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusNotFound, Code: "NO_SUCH_ROUTE", Detail: "there is nothing at this address; see /openapi.json"})
		return
	}
	if _, _, err := a.site.Authenticate(r, web.Bearer); err != nil {
		web.Fail(w, r, err)
		return
	}
	w.Header().Set("Allow", allow)
	web.WriteProblem(w, r, web.Problem{Status: http.StatusMethodNotAllowed, Code: "METHOD_NOT_ALLOWED", Detail: "this address takes " + allow})
}

// probe is carried by a request that only finds out which routes there are.
type probe struct{ routes []route }

type probeKey struct{}

func probeOf(r *http.Request) *probe {
	p, _ := r.Context().Value(probeKey{}).(*probe)
	return p
}

func (p *probe) found(r route, values map[string]string) {
	if !hasEmpty(values) {
		p.routes = append(p.routes, r)
	}
}

// methods returns the methods that the address of r takes. If some of them have a
// verb there, the others do not count: their route takes the verb for part of an id.
func (a *API) methods(r *http.Request) []string {
	p := &probe{}
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		other := r.Clone(context.WithValue(r.Context(), probeKey{}, p))
		other.Method = method
		a.gateway.ServeHTTP(nil, other) // checked and unrouted write nothing for a probe
	}
	verbs := slices.ContainsFunc(p.routes, func(r route) bool { return r.verb != "" })
	var methods []string
	for _, r := range p.routes {
		if !verbs || r.verb != "" {
			methods = append(methods, r.method)
		}
	}
	return methods
}

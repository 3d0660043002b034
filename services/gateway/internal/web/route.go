package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
)

// route is one HTTP binding of the protos: enough to refuse a request before
// grpc-gateway reads it.
type route struct {
	method   string
	segments []string // "api", "v1", "operations", "{run_id}"
	verb     string   // "cancel" of "{run_id}:cancel"
	resource string   // what a missing thing is called: the authorization rule says it
}

// String is the route as a span's name: "GET /api/v1/operations/{run_id}".
func (r route) String() string {
	s := r.method + " /" + strings.Join(r.segments, "/")
	if r.verb != "" {
		s += ":" + r.verb
	}
	return s
}

// routesOf reads the bindings of every served proto.
func routesOf() []route {
	var routes []route
	for _, file := range []protoreflect.FileDescriptor{
		operationsv1.File_tenantpilot_operations_v1_run_reader_service_proto,
		operationsv1.File_tenantpilot_operations_v1_run_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_workspace_reader_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_workspace_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_tenant_reader_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_tenant_service_proto,
		tenancyv1.File_tenantpilot_tenancy_v1_api_token_service_proto,
		inventoryv1.File_tenantpilot_inventory_v1_inventory_reader_service_proto,
		inventoryv1.File_tenantpilot_inventory_v1_inventory_service_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if r, ok := routeOf(methods.Get(j)); ok {
					routes = append(routes, r)
				}
			}
		}
	}
	return routes
}

func routeOf(m protoreflect.MethodDescriptor) (route, bool) {
	binding, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || binding == nil {
		return route{}, false
	}
	rule, _ := proto.GetExtension(m.Options(), authzv1.E_Rule).(*authzv1.Rule)
	method, path := verbOf(binding)
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	last := len(segments) - 1
	var verb string
	segments[last], verb, _ = strings.Cut(segments[last], ":")
	return route{method: method, segments: segments, verb: verb, resource: rule.GetResource()}, true
}

func verbOf(b *annotations.HttpRule) (method, path string) {
	switch p := b.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	}
	return "", ""
}

// match answers the values of the route's path variables, by name.
func (r route) match(path string) (map[string]string, bool) {
	given := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(given) != len(r.segments) {
		return nil, false
	}
	last := len(given) - 1
	if r.verb != "" {
		var ok bool
		if given[last], ok = strings.CutSuffix(given[last], ":"+r.verb); !ok {
			return nil, false
		}
	}
	values := map[string]string{}
	for i, want := range r.segments {
		if name, ok := strings.CutPrefix(want, "{"); ok && given[i] != "" {
			values[strings.TrimSuffix(name, "}")] = given[i]
		} else if want != given[i] {
			return nil, false
		}
	}
	return values, true
}

// find answers the route of a request and its path values; without one, the
// methods the path does allow, none if there is no such path.
func find(routes []route, method, path string) (found route, values map[string]string, allow []string) {
	for _, verb := range []bool{true, false} { // "/x/1:cancel" is that verb, never an id
		for _, r := range routes {
			v, ok := r.match(path)
			if !ok || verb != (r.verb != "") {
				continue
			}
			if r.method == method {
				return r, v, nil
			}
			allow = append(allow, r.method)
		}
		if len(allow) > 0 {
			break
		}
	}
	slices.Sort(allow)
	return route{}, nil, slices.Compact(allow)
}

// parseID reads an id as we write them. Anything else names nothing.
func parseID(s string) (int64, bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	return id, err == nil && id > 0 && s == strconv.FormatInt(id, 10)
}

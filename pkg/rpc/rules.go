package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// method is a method we serve and who may call it.
type method struct {
	desc       protoreflect.MethodDescriptor
	scope      authzv1.Scope
	capability actor.Capability
	callers    []string
	resource   string
	workspace  protoreflect.FieldDescriptor // workspace_id of the request, for SCOPE_WORKSPACE
	entries    []protoreflect.FieldNumber   // of a batch: the fields whose entries its handler checks one by one
	metrics    methodMetrics
}

// own reports whether a gRPC service is part of the platform (health,
// reflection). Everybody with a certificate may call it.
func own(service string) bool {
	return service == "grpc.health.v1.Health" || strings.HasPrefix(service, "grpc.reflection.")
}

// readRules returns the rule of every registered method, by full method name. Its
// error names all that is wrong with the rules.
func readRules(services map[string]grpc.ServiceInfo) (map[string]*method, error) {
	methods := map[string]*method{}
	var wrong []error
	for service, info := range services {
		if own(service) {
			continue
		}
		for _, m := range info.Methods {
			read, err := readRule(service, m.Name)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s/%s: %w", service, m.Name, err))
			}
			methods["/"+service+"/"+m.Name] = read
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("methods without a rule to serve them by: %w", err)
	}
	return methods, nil
}

func readRule(service, name string) (*method, error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + name))
	if err != nil {
		return nil, err
	}
	desc, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, errors.New("not a method")
	}
	rule, _ := proto.GetExtension(desc.Options(), authzv1.E_Rule).(*authzv1.Rule)
	callers, err := Callers(rule)
	if err != nil {
		return nil, err
	}
	m := &method{
		desc: desc, scope: rule.GetScope(), capability: actor.Capability(rule.GetCapability()),
		callers: callers, resource: rule.GetResource(),
		workspace: desc.Input().Fields().ByName("workspace_id"),
		entries:   entryFields(desc.Input()),
	}
	return m, m.check()
}

// Callers returns the names of all services that rule permits, those of its groups
// among them.
func Callers(rule *authzv1.Rule) ([]string, error) {
	all := slices.Clone(rule.GetCallers())
	options := authzv1.File_tenantpilot_authz_v1_authz_proto.Options()
	groups, _ := proto.GetExtension(options, authzv1.E_CallerGroup).([]*authzv1.CallerGroup)
	for _, name := range rule.GetCallerGroups() {
		i := slices.IndexFunc(groups, func(g *authzv1.CallerGroup) bool { return g.GetName() == name })
		if i < 0 {
			return nil, fmt.Errorf("no group of callers is called %q: see authz.proto", name)
		}
		all = append(all, groups[i].GetCallers()...)
	}
	return all, nil
}

// entryFields returns the fields of a batch whose entries the rules leave unchecked.
func entryFields(request protoreflect.MessageDescriptor) (numbers []protoreflect.FieldNumber) {
	for i := range request.Fields().Len() {
		field := request.Fields().Get(i)
		rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
		if rules.GetRepeated().GetItems().GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
			numbers = append(numbers, field.Number())
		}
	}
	return numbers
}

func (m *method) check() error {
	bound := m.scope == authzv1.Scope_SCOPE_WORKSPACE || m.scope == authzv1.Scope_SCOPE_OBJECT
	switch {
	case m.scope == authzv1.Scope_SCOPE_UNSPECIFIED:
		return errors.New("no scope")
	case len(m.callers) == 0:
		return errors.New("no caller is permitted")
	case bound && m.capability == 0:
		return errors.New("no capability")
	case bound && m.resource == "":
		return errors.New("no resource")
	case m.scope == authzv1.Scope_SCOPE_WORKSPACE && (m.workspace == nil || m.workspace.Kind() != protoreflect.Int64Kind):
		return errors.New("the request has no int64 workspace_id")
	case m.scope == authzv1.Scope_SCOPE_WORKSPACE && m.desc.IsStreamingClient():
		return errors.New("a stream of requests has no one workspace")
	}
	return nil
}

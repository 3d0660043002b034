package api

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// mask is the set of fields that a list shows of a run.
type mask map[protoreflect.Name]bool

// fieldsOf returns the fields that a list shows: those of the read mask, or else those of
// the view.
func fieldsOf(view operationsv1.RunView, read *fieldmaskpb.FieldMask) (mask, error) {
	m := mask{}
	fields := (&operationsv1.Run{}).ProtoReflect().Descriptor().Fields()
	if len(read.GetPaths()) == 0 {
		for i := range fields.Len() {
			m[fields.Get(i).Name()] = true
		}
		if view != operationsv1.RunView_RUN_VIEW_FULL {
			delete(m, "context")
			delete(m, "failure_summary")
		}
		return m, nil
	}
	for _, path := range read.Paths {
		if path == "*" {
			return fieldsOf(operationsv1.RunView_RUN_VIEW_FULL, nil)
		}
		field := fields.ByName(protoreflect.Name(path))
		if field == nil {
			field = fields.ByJSONName(path)
		}
		if field == nil {
			return nil, errs.Invalid("read_mask", "%.100q is not a field of a run", path)
		}
		m[field.Name()] = true
	}
	return m, nil
}

// full reports whether m has a field that may be large: context or failures.
func (m mask) full() bool { return m["context"] || m["failure_summary"] }

// trim clears the fields of r that m does not have.
func (m mask) trim(r *operationsv1.Run) *operationsv1.Run {
	message := r.ProtoReflect()
	message.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !m[field.Name()] {
			message.Clear(field)
		}
		return true
	})
	return r
}

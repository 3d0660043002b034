package api

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// instant reads an optional time.
func instant(field string, t *timestamppb.Timestamp) (*time.Time, error) {
	if t == nil {
		return nil, nil // absent stays absent
	}
	if !t.IsValid() {
		return nil, errs.Invalid(field, "is not a time between the years 1 and 9999")
	}
	at := t.AsTime()
	return &at, nil
}

// wireTime writes an optional time.
func wireTime(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

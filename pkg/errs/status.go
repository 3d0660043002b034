package errs

import (
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the ErrorInfo domain of all reasons of this product.
const Domain = "tenantpilot"

// GRPCStatus is the error as it crosses a call: code, message, ErrorInfo,
// BadRequest and RetryInfo. The cause stays behind.
func (e *Error) GRPCStatus() *status.Status {
	s := status.New(e.code, e.message)
	if detailed, err := s.WithDetails(e.details()...); err == nil {
		return detailed
	}
	return s
}

func (e *Error) details() []protoadapt.MessageV1 {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: e.reason, Domain: Domain, Metadata: e.metadata}}
	if len(e.fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range e.fields {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: f.Path, Description: f.Description})
		}
		details = append(details, bad)
	}
	if e.retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.retry)})
	}
	return details
}

// FromStatus makes an Error again out of what a gRPC call returned; any other
// error comes back unchanged. A status that is not ours (the transport's, say)
// gets a sentence of its own, because its text may name hosts and files.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := As(err); ok {
		return err
	}
	// Not status.FromError: it would put what wraps the status in its message.
	type stated interface {
		error
		GRPCStatus() *status.Status
	}
	inner, ok := errors.AsType[stated](err)
	if !ok {
		return err
	}
	s := inner.GRPCStatus()
	e := &Error{code: s.Code(), message: s.Message(), remote: true}
	for _, d := range s.Details() {
		e.read(d)
	}
	if e.reason == "" {
		e = foreign(s.Code()).Wrap(err)
		e.remote = true
	}
	return e
}

func (e *Error) read(detail any) {
	switch d := detail.(type) {
	case *errdetails.ErrorInfo:
		if d.GetDomain() == Domain {
			e.reason, e.metadata = d.GetReason(), d.GetMetadata()
		}
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			e.fields = append(e.fields, Field{Path: v.GetField(), Description: v.GetDescription()})
		}
	case *errdetails.RetryInfo:
		e.retry = d.GetRetryDelay().AsDuration()
	}
}

// Relayed reports whether err holds an Error that means to the caller of this
// process what it meant to this process. What another service kept to itself,
// or blamed on us, the caller could do nothing about.
func Relayed(err error) (*Error, bool) {
	e, ok := As(err)
	switch {
	case !ok, e.code == codes.Internal, e.code == codes.Unknown:
		return nil, false
	case e.remote && (e.code == codes.Unauthenticated || e.code == codes.Unimplemented):
		return nil, false
	}
	return e, true
}

// Internal is what a caller sees of a fault of ours.
func Internal(cause error) *Error { return foreign(codes.Internal).Wrap(cause) }

// Ended is what a caller sees when a context ended: code is Canceled or
// DeadlineExceeded.
func Ended(code codes.Code, cause error) *Error { return foreign(code).Wrap(cause) }

func foreign(code codes.Code) *Error {
	switch code {
	case codes.Canceled:
		return &Error{code: code, reason: "CANCELLED", message: "the caller went away"}
	case codes.DeadlineExceeded:
		return &Error{code: code, reason: "DEADLINE_EXCEEDED", message: "there was not enough time to answer"}
	case codes.Unavailable:
		return &Error{code: code, reason: "UNAVAILABLE", message: "a part of the service is not available just now; try again"}
	case codes.ResourceExhausted:
		return &Error{code: code, reason: "RESOURCE_EXHAUSTED", message: "the call is too large, or there are too many"}
	case codes.Unimplemented:
		return &Error{code: code, reason: "UNIMPLEMENTED", message: "no such method"}
	case codes.Unauthenticated:
		return &Error{code: code, reason: "UNAUTHENTICATED", message: "the call does not show who is calling"}
	case codes.PermissionDenied:
		return &Error{code: code, reason: "PERMISSION_DENIED", message: "the caller may not do this"}
	case codes.InvalidArgument:
		return &Error{code: code, reason: "INVALID_ARGUMENT", message: "the request is not valid"}
	case codes.NotFound:
		return &Error{code: code, reason: "NOT_FOUND", message: "no such thing, or you may not see it"}
	default:
		return &Error{code: codes.Internal, reason: "INTERNAL", message: "internal error"}
	}
}

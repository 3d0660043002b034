// Package errs is an error that keeps its meaning across a call: what went
// wrong as a code, a stable reason, a sentence for the caller, and what to do
// about it. It is not for our own faults: those are plain errors, and the
// caller is told nothing about them.
package errs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// Field is one thing wrong with one field of a request.
type Field struct {
	Path        string // as in the proto: "selection.types[2]"
	Description string // what is wrong, after the field's name: "must not be empty"
}

// Error is an error its caller can act on. Its parts cross a gRPC call, except
// the cause, which is for the log of the process that saw it.
type Error struct {
	code     codes.Code
	reason   string
	message  string
	fields   []Field
	metadata map[string]string
	retry    time.Duration
	cause    error
	remote   bool // came out of a call
}

// Invalid says that the request can never work as it is written, because of
// field. An empty field stands for the request as a whole.
func Invalid(field, format string, args ...any) *Error {
	e := &Error{code: codes.InvalidArgument, reason: "INVALID_FIELD"}
	return e.And(field, format, args...)
}

// NotFound says that there is no such resource. The words do not depend on which
// resource it is: somebody who may not see a thing gets the same bytes as for a
// thing that does not exist.
func NotFound(resource string) *Error {
	return &Error{code: codes.NotFound, reason: "NOT_FOUND", message: "no such " + resource + ", or you may not see it"}
}

// Exists says that the thing to make is already there.
func Exists(reason, format string, args ...any) *Error {
	return newError(codes.AlreadyExists, reason, format, args)
}

// Conflict says that the thing has moved on: read it again, then decide.
func Conflict(reason, format string, args ...any) *Error {
	return newError(codes.FailedPrecondition, reason, format, args)
}

// Aborted says that the call lost a race; saying it again may work.
func Aborted(reason, format string, args ...any) *Error {
	return newError(codes.Aborted, reason, format, args)
}

// Denied says that the caller is known and may not do this.
func Denied(reason, format string, args ...any) *Error {
	return newError(codes.PermissionDenied, reason, format, args)
}

// Unauthenticated says that the caller has not shown who they are.
func Unauthenticated(reason, format string, args ...any) *Error {
	return newError(codes.Unauthenticated, reason, format, args)
}

// Exhausted says that the caller asks too much, and when to ask again.
func Exhausted(reason string, retryAfter time.Duration, format string, args ...any) *Error {
	return newError(codes.ResourceExhausted, reason, format, args).RetryIn(retryAfter)
}

// Unavailable says that a part is missing just now; the same call may work later.
func Unavailable(reason, format string, args ...any) *Error {
	return newError(codes.Unavailable, reason, format, args)
}

// TooLate says that what the caller wants to go on from is no longer kept:
// begin anew.
func TooLate(reason, format string, args ...any) *Error {
	return newError(codes.OutOfRange, reason, format, args)
}

func newError(code codes.Code, reason, format string, args []any) *Error {
	return &Error{code: code, reason: reason, message: fmt.Sprintf(format, args...)}
}

// And adds another wrong field to an Invalid error.
func (e *Error) And(field, format string, args ...any) *Error {
	c := e.copy()
	f := Field{Path: field, Description: fmt.Sprintf(format, args...)}
	if c.message != "" {
		c.message += "; "
	}
	c.message += f.sentence()
	if field != "" {
		c.fields = append(c.fields, f)
	}
	return c
}

func (f Field) sentence() string {
	if f.Path == "" {
		return f.Description
	}
	return f.Path + ": " + f.Description
}

// With adds a fact a program can read, such as the id of the run in the way.
func (e *Error) With(key, value string) *Error {
	c := e.copy()
	if c.metadata == nil {
		c.metadata = map[string]string{}
	}
	c.metadata[key] = value
	return c
}

// WithReason replaces the reason, an UPPER_SNAKE word that programs compare.
func (e *Error) WithReason(reason string) *Error {
	c := e.copy()
	c.reason = reason
	return c
}

// RetryIn adds how long to wait before the same call may work.
func (e *Error) RetryIn(d time.Duration) *Error {
	c := e.copy()
	c.retry = d
	return c
}

// Wrap keeps cause for our log; it is never sent.
func (e *Error) Wrap(cause error) *Error {
	c := e.copy()
	c.cause = cause
	return c
}

func (e *Error) copy() *Error {
	c := *e
	c.fields = slices.Clone(e.fields)
	c.metadata = maps.Clone(e.metadata)
	return &c
}

// Error is for logs: it has the cause in it. [Error.Message] is for callers.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.message
	}
	return e.message + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is lets errors.Is recognise the end of a context that ended in another process.
func (e *Error) Is(target error) bool {
	switch e.code {
	case codes.Canceled:
		return target == context.Canceled
	case codes.DeadlineExceeded:
		return target == context.DeadlineExceeded
	}
	return false
}

// Code returns the gRPC code.
func (e *Error) Code() codes.Code { return e.code }

// Reason returns the stable word for what went wrong.
func (e *Error) Reason() string { return e.reason }

// Message returns the sentence for the caller.
func (e *Error) Message() string { return e.message }

// Fields returns the wrong fields of an Invalid error.
func (e *Error) Fields() []Field { return slices.Clone(e.fields) }

// Metadata returns the facts added by [Error.With].
func (e *Error) Metadata() map[string]string { return maps.Clone(e.metadata) }

// RetryAfter returns how long to wait before the same call; 0 if that is not
// known.
func (e *Error) RetryAfter() time.Duration { return e.retry }

// As finds an Error in err's chain.
func As(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// Code returns the code of the Error in err: OK for nil, Unknown if err holds no
// Error.
func Code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if e, ok := As(err); ok {
		return e.code
	}
	return codes.Unknown
}

// Reason returns the reason of the Error in err, "" if err holds no Error.
func Reason(err error) string {
	if e, ok := As(err); ok {
		return e.reason
	}
	return ""
}

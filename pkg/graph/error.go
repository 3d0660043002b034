package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Class says why a call failed. The words are those of failures of runs.
type Class string

// The classes.
const (
	ClassThrottled  Class = "throttled"
	ClassTimeout    Class = "timeout"
	ClassPermission Class = "permission"
	ClassTenantAuth Class = "tenant_auth" // the tenant refuses us altogether
	ClassDependency Class = "dependency"  // Graph is at fault, or what it sent can't be trusted
	ClassValidation Class = "validation"  // what we asked can never work
	ClassInternal   Class = "internal"
)

// Codes for failures that Graph does not notice.
const (
	CodeIncomplete  = "tenantpilotIncomplete"  // fewer or more parts than the object says it has
	CodeMalformed   = "tenantpilotMalformed"   // a success whose body is cut off or no JSON
	CodeTooLarge    = "tenantpilotTooLarge"    // a response above the size limit
	CodeLoop        = "tenantpilotPagingLoop"  // a nextLink seen before
	CodeForeignHost = "tenantpilotForeignHost" // a nextLink to a host that is not ours to trust
	CodeNoAnswer    = "tenantpilotNoAnswer"    // a batch member without an answer
	CodeNetwork     = "tenantpilotNetwork"     // no response at all
)

// Error is a call Graph refused or could not finish, after all retries.
type Error struct {
	Status          int    // of HTTP, 0 without a response
	Code            string // the deepest Graph gave
	Message         string // the innermost, shortened and without tokens
	RequestID       string // names the call to Microsoft's support
	ClientRequestID string
	ActivityID      string // Intune's
	RetryAfter      time.Duration
	Class           Class

	call      string // method and path, without the query
	retryable bool
	cause     error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("graph")
	if e.call != "" {
		b.WriteString(" " + e.call)
	}
	b.WriteString(": ")
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d ", e.Status)
	}
	b.WriteString(e.Code)
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" [request-id " + e.RequestID + "]")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.cause }

// ReasonCode returns the class of err. For an error that is not an [*Error] it is
// a timeout if a deadline passed, else internal.
func ReasonCode(err error) string {
	var e *Error
	switch {
	case errors.As(err, &e):
		return string(e.Class)
	case errors.Is(err, context.DeadlineExceeded):
		return string(ClassTimeout)
	default:
		return string(ClassInternal)
	}
}

// Retryable reports whether the same call may succeed later although nobody
// changes anything.
func Retryable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.retryable
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// Remediation returns what a person can do about err, or "".
func Remediation(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Class {
	case ClassTenantAuth:
		return "Check the tenant's connection: application id, secret or certificate, and its expiry; then grant admin consent again."
	case ClassPermission:
		return "Grant the application the permission this type needs and give admin consent; scripts need DeviceManagementScripts since 2025."
	case ClassThrottled:
		return "Microsoft Graph is limiting this tenant. Run again later, or at an hour with less traffic."
	case ClassTimeout, ClassDependency:
		return "Microsoft Graph did not answer completely. Run again; if it persists, give the request id to Microsoft support."
	case ClassValidation:
		return "Graph does not accept this request. Check that the tenant is licensed for this feature."
	default:
		return ""
	}
}

// fromResponse returns the error for a response that is not a success.
func fromResponse(resp *http.Response, body []byte, now time.Time) *Error {
	e := &Error{
		Status:     resp.StatusCode,
		RequestID:  resp.Header.Get("request-id"),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now),
	}
	e.read(body)
	e.classify()
	return e
}

// classify derives class and retryability from the status.
func (e *Error) classify() {
	switch {
	case e.Status == http.StatusTooManyRequests, e.Status == 509:
		e.Class, e.retryable = ClassThrottled, true
	case e.Status == http.StatusUnauthorized:
		e.Class = ClassTenantAuth
	case e.Status == http.StatusForbidden:
		e.Class = ClassPermission
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusGatewayTimeout:
		e.Class, e.retryable = ClassTimeout, true
	case e.Status == http.StatusFailedDependency:
		// Never executed, since something before it failed: safe to repeat.
		e.Class, e.retryable = ClassDependency, true
	case e.Status == http.StatusNotImplemented:
		e.Class = ClassValidation
	case e.Status >= 500:
		e.Class, e.retryable = ClassDependency, true
	case e.Status >= 400:
		e.Class = ClassValidation
	default: // a redirect
		e.Class = ClassDependency
	}
}

// body is Graph's error shape; both spellings of the inner error occur, and nest.
type errorBody struct {
	Error *struct {
		Code    string      `json:"code"`
		Message string      `json:"message"`
		Inner   *innerError `json:"innerError"` // encoding/json matches innererror too
	} `json:"error"`
}

type innerError struct {
	Code            string      `json:"code"`
	RequestID       string      `json:"request-id"`
	ClientRequestID string      `json:"client-request-id"`
	Inner           *innerError `json:"innerError"`
}

func (e *Error) read(body []byte) {
	var b errorBody
	if json.Unmarshal(body, &b) != nil || b.Error == nil {
		e.Code = strings.ReplaceAll(http.StatusText(e.Status), " ", "")
		return
	}
	e.Code = b.Error.Code
	for in := b.Error.Inner; in != nil; in = in.Inner {
		if in.Code != "" {
			e.Code = in.Code
		}
		if e.RequestID == "" {
			e.RequestID = in.RequestID
		}
		if e.ClientRequestID == "" {
			e.ClientRequestID = in.ClientRequestID
		}
	}
	e.readMessage(b.Error.Message)
}

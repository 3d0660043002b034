package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// problem is the body of every failed API call: RFC 9457, and what a program
// compares (code) and quotes to us (request_id).
type problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail"`
	Code      string            `json:"code"`
	RequestID string            `json:"request_id"`
	Errors    []problemField    `json:"errors,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Retry     int64             `json:"retry_after_seconds,omitempty"`
}

// problemField is one wrong field, by its name in the request.
type problemField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// httpStatus is the one table from the codes of our errors to HTTP.
func httpStatus(c codes.Code) int {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Canceled:
		return statusClientGone
	default:
		return http.StatusInternalServerError
	}
}

// statusClientGone is for the log: whoever would read it has hung up.
const statusClientGone = 499

// problemOf is what the caller is told of err. Errors that are not pkg/errs are
// faults of ours, and the caller is told nothing about them.
func problemOf(err error) problem {
	e, ok := errs.Relayed(errs.FromStatus(err))
	if !ok {
		e = errs.Internal(err)
	}
	p := problem{
		Status: httpStatus(e.Code()), Code: e.Reason(), Detail: e.Message(), Metadata: e.Metadata(),
		Retry: int64((e.RetryAfter() + time.Second - 1) / time.Second),
	}
	for _, f := range e.Fields() {
		p.Errors = append(p.Errors, problemField{Field: f.Path, Message: f.Description})
	}
	return p
}

// writeProblem answers p, completed with what is the same for all of them.
func writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	p.Type, p.Title, p.RequestID = "about:blank", title(p.Status), requestID(r.Context())
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="tenantpilot"`)
	}
	if p.Retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.Retry, 10))
	}
	w.WriteHeader(p.Status)
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		return
	}
	_, _ = w.Write(append(body, '\n'))
}

func title(status int) string {
	if status == statusClientGone {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// fail answers err as a problem, and notes it on the request's log line.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	note(r.Context(), err)
	writeProblem(w, r, problemOf(err))
}

package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Problem is the body of every failed API call: that of RFC 9457, with a code that
// programs compare and a request id that people quote when they ask for help.
type Problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail"`
	Code      string            `json:"code"`
	RequestID string            `json:"request_id"`
	Errors    []ProblemField    `json:"errors,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Retry     int64             `json:"retry_after_seconds,omitempty"`
}

// ProblemField says what is wrong with one field of the request.
type ProblemField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// httpStatus returns the HTTP status for the code of an error. This is the only place
// that maps them.
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

// statusClientGone is only ever seen in the log: the client has hung up.
const statusClientGone = 499

// ProblemOf returns what the caller is told about err. An error that is not of pkg/errs is
// our fault, and the caller is told nothing about it but the request id.
func ProblemOf(err error) Problem {
	e, ok := errs.Relayed(errs.FromStatus(err))
	if !ok {
		e = errs.Internal(err)
	}
	p := Problem{
		Status: httpStatus(e.Code()), Code: e.Reason(), Detail: e.Message(), Metadata: e.Metadata(),
		Retry: int64((e.RetryAfter() + time.Second - 1) / time.Second),
	}
	for _, f := range e.Fields() {
		p.Errors = append(p.Errors, ProblemField{Field: f.Path, Message: f.Description})
	}
	return p
}

// WriteProblem sends p as the response. It fills in type, title and request id.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	p.Type, p.Title, p.RequestID = "about:blank", title(p.Status), RequestID(r.Context())
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
	if err != nil { // cannot happen: strings and numbers always marshal
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

// Fail sends err as a problem and puts it on the request's log line.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	Note(r.Context(), err)
	WriteProblem(w, r, ProblemOf(err))
}

package graph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

const good = `{"value":[{"id":"1"}]}`

// failing serves the first requests with fault, and the others as usual.
func failing(times int64, fault http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= times {
			fault(w, r)
			return
		}
		_, _ = io.WriteString(w, good)
	}
}

// fault is one way to answer wrongly.
type fault struct {
	status  int    // with Graph's error as its body, unless there is another
	after   string // Retry-After
	kind    string // Content-Type
	body    string
	reset   bool // end the connection in the middle of a body of known length
	endless bool // send far more than expected, without saying how much
}

func (f fault) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if f.after != "" {
		w.Header().Set("Retry-After", f.after)
	}
	w.Header().Set("Content-Type", f.kind)
	if f.reset {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"value":[`)
		panic(http.ErrAbortHandler)
	}
	if f.status != 0 {
		w.Header().Set("Location", "https://evil.example/") // of redirects
		w.WriteHeader(f.status)
		if f.body == "" {
			f.body = fmt.Sprintf(`{"error":{"code":"C%d","message":"m","innerError":{"request-id":"r"}}}`, f.status)
		}
	}
	_, _ = io.WriteString(w, f.body)
	for i := 0; f.endless && i < 100; i++ {
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
		w.(http.Flusher).Flush()
	}
}

// status serves an error of Graph's, with a Retry-After if one is given.
func status(code int, after ...string) http.HandlerFunc {
	return fault{status: code, after: strings.Join(after, "")}.ServeHTTP
}

func text(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

func TestRetry_recovers(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 11, 22, 1, 1, 30, 0, time.UTC).Format(http.TimeFormat) // 90 s from the test's now
	tests := map[string]struct {
		fault fault
		least time.Duration // slept before the second request
		most  time.Duration
	}{
		"429 with seconds":             {fault: fault{status: 429, after: "7"}, least: 7 * time.Second, most: 8 * time.Second},
		"429 with a date":              {fault: fault{status: 429, after: date}, least: 90 * time.Second, most: 91 * time.Second},
		"429 with more than a minute":  {fault: fault{status: 429, after: "180"}, least: 3 * time.Minute, most: 181 * time.Second},
		"429 without":                  {fault: fault{status: 429}, least: 500 * time.Millisecond, most: time.Second},
		"429 with Intune's own":        {fault: fault{status: 429, body: intuneThrottle}, least: 12 * time.Second, most: 13 * time.Second},
		"500":                          {fault: fault{status: 500}, most: time.Second},
		"502":                          {fault: fault{status: 502}, most: time.Second},
		"503 with seconds":             {fault: fault{status: 503, after: "20"}, least: 20 * time.Second, most: 21 * time.Second},
		"504":                          {fault: fault{status: 504}, most: time.Second},
		"a connection reset mid-body":  {fault: fault{reset: true}, most: time.Second},
		"JSON cut off":                 {fault: fault{kind: "application/json", body: `{"value":[{"id":`}, most: time.Second},
		"a page of HTML with 200":      {fault: fault{kind: "text/html", body: "<html>Sign in</html>"}, most: time.Second},
		"an empty body with 200":       {fault: fault{kind: "application/json", body: ""}, most: time.Second},
		"an unreadable Retry-After":    {fault: fault{status: 429, after: "soon"}, least: 500 * time.Millisecond, most: time.Second},
		"a Retry-After date gone past": {fault: fault{status: 429, after: "Sun, 22 Nov 2020 01:00:00 GMT"}, least: 500 * time.Millisecond, most: time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, failing(1, test.fault.ServeHTTP))
			body, err := w.Get(t.Context(), "/beta/deviceManagement/x")
			require.NoError(t, err)
			require.Equal(t, good, string(body))
			require.Len(t, w.requests(), 2)
			require.GreaterOrEqual(t, w.clock.total(), test.least)
			require.LessOrEqual(t, w.clock.total(), test.most)
		})
	}
}

const intuneThrottle = `{"error":{"code":"TooManyRequests","message":"{\"_version\":3,\"Message\":\"Slow down - Activity ID: 01234567-89ab-cdef-0123-456789abcdef - Url: https://fef.example\",\"CustomApiErrorPhrase\":\"\",\"RetryAfter\":\"12\"}"}}`

func TestRetry_givesUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault    fault
		requests int
		class    Class
		code     string
		again    bool
	}{
		"400":                             {fault: fault{status: 400}, requests: 1, class: ClassValidation, code: "C400"},
		"403":                             {fault: fault{status: 403}, requests: 1, class: ClassPermission, code: "C403"},
		"404":                             {fault: fault{status: 404}, requests: 1, class: ClassValidation, code: "C404"},
		"401 again with another token":    {fault: fault{status: 401}, requests: 2, class: ClassTenantAuth, code: "C401"},
		"always 429":                      {fault: fault{status: 429}, requests: 8, class: ClassThrottled, code: "C429", again: true},
		"Retry-After beyond the budget":   {fault: fault{status: 429, after: "3600"}, requests: 1, class: ClassThrottled, code: "C429", again: true},
		"always 503":                      {fault: fault{status: 503}, requests: 8, class: ClassDependency, code: "C503", again: true},
		"always 504":                      {fault: fault{status: 504}, requests: 8, class: ClassTimeout, code: "C504", again: true},
		"always reset":                    {fault: fault{reset: true}, requests: 8, class: ClassDependency, code: CodeNetwork, again: true},
		"always HTML":                     {fault: fault{kind: "text/html", body: "<html>"}, requests: 8, class: ClassDependency, code: CodeMalformed, again: true},
		"too large, said so":              {fault: fault{kind: "application/json", body: `"` + strings.Repeat("x", 2000) + `"`}, requests: 1, class: ClassDependency, code: CodeTooLarge},
		"too large, found out":            {fault: fault{endless: true}, requests: 1, class: ClassDependency, code: CodeTooLarge},
		"a redirect is not followed":      {fault: fault{status: 302}, requests: 1, class: ClassDependency, code: "C302"},
		"an error that is not Graph's":    {fault: fault{status: 418, body: "short and stout"}, requests: 1, class: ClassValidation, code: "I'mateapot"},
		"a budget spent on short delays ": {fault: fault{status: 503, after: "200"}, requests: 3, class: ClassDependency, code: "C503", again: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, test.fault.ServeHTTP, func(c *Config) { c.MaxResponseBytes = 1000 })
			_, err := w.Get(t.Context(), "/beta/deviceManagement/x")
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.class, e.Class)
			require.Equal(t, test.code, e.Code)
			require.Equal(t, string(test.class), ReasonCode(err))
			require.Equal(t, test.again, Retryable(err))
			require.NotEmpty(t, Remediation(err))
			require.NotEmpty(t, e.ClientRequestID)
			require.Len(t, w.requests(), test.requests)
		})
	}
}

func TestRetry_timeoutOfOneAttempt(t *testing.T) {
	t.Parallel()
	w := setup(t, failing(1, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		func(c *Config) { c.Retry.RequestTimeout = 2 * time.Second })
	_, err := w.Get(t.Context(), "/beta/x")
	require.NoError(t, err)
	require.Len(t, w.requests(), 2)
}

func TestRetry_refusedConnection(t *testing.T) {
	t.Parallel()
	w := setup(t, status(200), func(c *Config) { c.BaseURL = "http://127.0.0.1:1" })
	_, err := w.Get(t.Context(), "/beta/x?$skiptoken=secret")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, CodeNetwork, e.Code)
	require.NotContains(t, err.Error(), "skiptoken")
}

// The end of ctx ends a wait, however long Graph asked for.
func TestRetry_cancelDuringBackoff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w := setup(t, status(429, "300"))
	w.pool.now, w.pool.sleep = time.Now, pause.For
	w.OnThrottle(func(time.Time) { cancel() })
	began := time.Now()
	_, err := w.Get(ctx, "/beta/x")
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), 30*time.Second)
	require.Len(t, w.requests(), 1)
}

func TestRetry_newTokenAfter401(t *testing.T) {
	t.Parallel()
	w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-2" {
			status(401)(rw, r)
			return
		}
		_, _ = io.WriteString(rw, good)
	})
	for range 3 {
		_, err := w.Get(t.Context(), "/beta/x")
		require.NoError(t, err)
	}
	require.Len(t, w.requests(), 4)
	require.Equal(t, 2, w.cred.asked)
	require.Equal(t, 1, w.cred.forced)
}

func TestToken_renewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	w := setup(t, text("application/json", good))
	w.cred.expiry = w.clock.now().Add(90 * time.Second)
	for range 2 {
		_, err := w.Get(t.Context(), "/beta/x")
		require.NoError(t, err)
	}
	require.Equal(t, 1, w.cred.asked)
	require.NoError(t, w.clock.sleep(t.Context(), 31*time.Second))
	_, err := w.Get(t.Context(), "/beta/x")
	require.NoError(t, err)
	require.Equal(t, 2, w.cred.asked)
	require.Zero(t, w.cred.forced)
}

func TestToken_refusedByTheTenant(t *testing.T) {
	t.Parallel()
	w := setup(t, text("application/json", good))
	w.cred.err = fmt.Errorf("issue: %w", TenantAuth("invalid_client", "AADSTS7000215: client_secret=hunter2 is wrong"))
	_, err := w.ReadType(t.Context(), mustLookup(t, "deviceConfigurations"), func(Object) error { return nil })
	require.Equal(t, "tenant_auth", ReasonCode(err))
	require.NotContains(t, err.Error(), "hunter2")
	require.Equal(t, 1, w.cred.asked, "no retry storm")
	require.Empty(t, w.requests())
}

func TestToken_unavailable(t *testing.T) {
	t.Parallel()
	w := setup(t, text("application/json", good))
	w.cred.err = errors.New("tenancy is away")
	_, err := w.Get(t.Context(), "/beta/x")
	require.Equal(t, "dependency", ReasonCode(err))
	require.Equal(t, 8, w.cred.asked)
}

func TestToken_neverPrints(t *testing.T) {
	t.Parallel()
	secret := Token{Value: "hush"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", secret, "in", struct{ T Token }{secret})
	out := fmt.Sprintf("%v %+v %#v %s %v", secret, secret, secret, secret, &secret) + log.String()
	require.NotContains(t, out, "hush")
}

func TestError_understood(t *testing.T) {
	t.Parallel()
	message := strings.Repeat("long ", 300)
	tests := map[string]struct {
		body string
		want Error
	}{
		"plain":          {body: `{"error":{"code":"A","message":"m"}}`, want: Error{Code: "A", Message: "m"}},
		"inner":          {body: `{"error":{"code":"A","message":"m","innerError":{"code":"B","request-id":"r","client-request-id":"c"}}}`, want: Error{Code: "B", Message: "m", RequestID: "r", ClientRequestID: "c"}},
		"other spelling": {body: `{"error":{"code":"A","message":"m","innererror":{"request-id":"r","innererror":{"code":"C"}}}}`, want: Error{Code: "C", Message: "m", RequestID: "r"}},
		"not JSON":       {body: `<html>`, want: Error{Code: "BadRequest"}},
		"long":           {body: `{"error":{"code":"A","message":"` + message + `"}}`, want: Error{Code: "A", Message: message[:500] + "…"}},
		"tokens":         {body: `{"error":{"code":"A","message":"Bearer abc.def, eyJhbGciOi.eyJzdWI.sig and\nclient_secret=s3"}}`, want: Error{Code: "A", Message: "[removed] [removed] and [removed]"}},
		"Intune": {
			body: `{"error":{"code":"BadRequest","message":"{\r\n \"_version\": 3,\r\n \"Message\": \"Invalid Reference id - Activity ID: 01234567-89ab-cdef-0123-456789abcdef - Url: u\",\r\n \"CustomApiErrorPhrase\": \"\",\r\n \"RetryAfter\": null}"}}`,
			want: Error{Code: "BadRequest", Message: "Invalid Reference id - Activity ID: 01234567-89ab-cdef-0123-456789abcdef - Url: u", ActivityID: "01234567-89ab-cdef-0123-456789abcdef"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want.Status, test.want.Class = 400, ClassValidation
			resp := &http.Response{StatusCode: 400, Header: http.Header{}}
			require.Equal(t, &test.want, fromResponse(resp, []byte(test.body), time.Time{}))
		})
	}
}

func TestReasonCode_ofOthers(t *testing.T) {
	t.Parallel()
	require.Equal(t, "timeout", ReasonCode(fmt.Errorf("x: %w", context.DeadlineExceeded)))
	require.Equal(t, "internal", ReasonCode(errors.New("x")))
	require.False(t, Retryable(errors.New("x")))
	require.Empty(t, Remediation(errors.New("x")))
}

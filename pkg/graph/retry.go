package graph

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Retry bounds the attempts at one request.
type Retry struct {
	MaxAttempts    int
	MaxElapsed     time.Duration // no wait is begun that would end later
	BaseDelay      time.Duration // doubled from attempt to attempt, where Graph names no delay
	MaxDelay       time.Duration // of our own delays; Graph's Retry-After is always kept
	RequestTimeout time.Duration // of one attempt, body included
}

// DefaultRetry outlasts Intune's throttling windows and short outages.
func DefaultRetry() Retry {
	return Retry{
		MaxAttempts: 8, MaxElapsed: 10 * time.Minute,
		BaseDelay: time.Second, MaxDelay: 30 * time.Second,
		RequestTimeout: time.Minute,
	}
}

// delay returns how long to wait before the attempt after the given one, and
// false if there should be no other attempt.
func (p *Pool) delay(e *Error, attempt int, started time.Time) (time.Duration, bool) {
	r := p.cfg.Retry
	if !e.retryable || attempt >= r.MaxAttempts {
		return 0, false
	}
	// Full jitter: callers that failed at the same moment should not return at
	// the same moment.
	own := min(r.MaxDelay, r.BaseDelay<<min(attempt-1, 20))
	wait := time.Duration(p.jitter() * float64(own))
	if e.RetryAfter > 0 {
		wait = e.RetryAfter + time.Duration(p.jitter()*float64(min(time.Second, e.RetryAfter/10)))
	}
	return wait, p.now().Add(wait).Sub(started) <= r.MaxElapsed
}

// call is one request while it passes the policies.
type call struct {
	client     *Client
	payload    []byte
	bucket     *bucket // nil: a batch, whose members were taken from theirs one by one
	write      bool
	repeatable bool // repeating it does no harm even if it was carried out
	token      string
	requestID  string
	body       []byte // of the response
}

// retryPolicy repeats attempts by class of failure. Each attempt includes
// reading the body: a connection reset halfway is as much a failure as a 503.
type retryPolicy struct{ pool *Pool }

func (p retryPolicy) Do(req *policy.Request) (*http.Response, error) {
	var c *call
	req.OperationValue(&c)
	started := p.pool.now()
	refused := ""
	for attempt := 1; ; attempt++ {
		resp, err := c.attempt(req, refused)
		var failure *Error
		if err == nil || !errors.As(err, &failure) {
			return resp, err
		}
		if failure.Status == http.StatusUnauthorized && refused == "" {
			refused = c.token
			continue
		}
		wait, again := p.pool.delay(failure, attempt, started)
		if !again || !c.mayRepeat(failure) {
			return nil, failure
		}
		if err := c.pause(req.Raw().Context(), failure, wait); err != nil {
			return nil, err
		}
	}
}

// mayRepeat reports whether the request may be sent again. Graph did not carry
// out a throttled request, so even a write may be.
func (c *call) mayRepeat(e *Error) bool { return c.repeatable || e.Class == ClassThrottled }

func (c *call) pause(ctx context.Context, e *Error, wait time.Duration) error {
	p := c.client.pool
	if e.Class == ClassThrottled {
		until := p.now().Add(wait)
		if c.bucket != nil {
			c.bucket.block(until)
		}
		c.client.throttle.note(until)
	}
	return c.client.wait(ctx, wait)
}

// attempt waits for quota and for a free slot, sends the request once, and reads
// the body of the response into c.body. Its error is an [*Error], or that of ctx.
func (c *call) attempt(req *policy.Request, refused string) (*http.Response, error) {
	ctx := req.Raw().Context()
	if c.bucket != nil {
		if err := c.bucket.take(ctx, c.client, c.write); err != nil {
			return nil, err
		}
	}
	t, err := c.client.tokens.get(ctx, refused)
	if err != nil {
		return nil, err
	}
	c.token = t.Value
	select {
	case c.client.tenant.slots <- struct{}{}:
		defer func() { <-c.client.tenant.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return c.send(req)
}

func (c *call) send(req *policy.Request) (*http.Response, error) {
	parent := req.Raw().Context()
	ctx, cancel := context.WithTimeout(parent, c.client.pool.cfg.Retry.RequestTimeout)
	defer cancel()
	try := req.Clone(ctx)
	// A reader per attempt: the transport may still hold the last one's.
	if err := setPayload(try, c.payload); err != nil {
		return nil, err
	}
	c.client.sent.Add(1)
	c.client.idle.begin(parent)
	defer c.client.idle.end()
	resp, err := try.Next()
	if err == nil {
		c.body, err = c.read(resp)
	}
	if parent.Err() != nil {
		return nil, parent.Err()
	}
	if err != nil {
		return nil, c.name(failure(resp, err), req)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		e := fromResponse(resp, c.body, c.client.pool.now())
		return nil, c.name(e, req)
	}
	if err := c.wellFormed(resp); err != nil {
		return nil, c.name(err, req)
	}
	return resp, nil
}

// read reads the whole body. It fails if the body is larger than the limit.
func (c *call) read(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close() // what counts was read, or failed to be
	limit := c.client.pool.cfg.MaxResponseBytes
	if resp.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	buf := make([]byte, 0, max(resp.ContentLength+1, 4096))
	body := io.LimitReader(resp.Body, limit+1)
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		case len(buf) == cap(buf):
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// wellFormed checks that a success is what it claims to be: proxies return 200
// with a page of HTML, and connections end in the middle of a body.
func (c *call) wellFormed(resp *http.Response) *Error {
	if len(c.body) == 0 && c.write || json.Valid(c.body) {
		return nil
	}
	return &Error{
		Status: resp.StatusCode, Class: ClassDependency, Code: CodeMalformed, retryable: true,
		Message:   "the body is not complete JSON (" + scrub(resp.Header.Get("Content-Type")) + ")",
		RequestID: resp.Header.Get("request-id"),
	}
}

func (c *call) name(e *Error, req *policy.Request) *Error {
	e.call = req.Raw().Method + " " + req.Raw().URL.Path
	if e.ClientRequestID == "" {
		e.ClientRequestID = c.requestID
	}
	return e
}

// failure returns the error for what went wrong below HTTP.
func failure(resp *http.Response, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Class: ClassDependency, Code: CodeNetwork, retryable: true, cause: err}
	if resp != nil {
		e.RequestID = resp.Header.Get("request-id")
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Class, e.Code = ClassTimeout, "tenantpilotTimeout"
	case errors.As(err, &certificate):
		e.retryable = false
	}
	var inURL *url.Error // its text would repeat the query, skiptoken and all
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	e.Message = scrub(err.Error())
	return e
}

func tooLarge(limit int64) *Error {
	return &Error{Class: ClassDependency, Code: CodeTooLarge, Message: "the response is larger than " + bytesText(limit)}
}

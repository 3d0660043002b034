package jsonapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

const (
	maxBody  = 1 << 20
	maxDepth = 64
)

// errTooLarge means that a body is over the limit. No gRPC code means that.
var errTooLarge = errors.New("body over 1 MiB")

// readBody reads a JSON body. Its error says what is wrong with it: too large, not
// JSON, nested too deeply, or text that we cannot store.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, errs.Invalid("", "the body could not be read").Wrap(err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	return body, checkJSON(body)
}

// checkJSON returns an error that names the place if the body is not one JSON value of
// text that we can store. It does not know which fields there are: grpc-gateway does.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return errMalformed("the body is not valid UTF-8")
	}
	w := walk{d: json.NewDecoder(bytes.NewReader(body))}
	w.d.UseNumber()
	if err := w.value(nil); err != nil {
		return err
	}
	if _, err := w.d.Token(); !errors.Is(err, io.EOF) {
		return errMalformed("the body has more than one JSON value")
	}
	return nil
}

func errMalformed(format string, args ...any) error {
	return errs.Invalid("", format, args...).WithReason("MALFORMED_JSON")
}

// walk reads a document token by token. It stops at maxDepth, so that a deeply nested
// document costs nothing.
type walk struct{ d *json.Decoder }

func (w walk) value(path []string) error {
	if len(path) > maxDepth {
		return errs.Invalid(joined(path[:1]), "is nested deeper than %d levels", maxDepth).WithReason("MALFORMED_JSON")
	}
	token, err := w.d.Token()
	if err != nil {
		return malformed(err, w.d.InputOffset())
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return w.array(path)
		}
		return w.object(path)
	case string:
		return web.CheckText(joined(path), t)
	}
	return nil
}

func (w walk) object(path []string) error {
	for w.d.More() {
		token, err := w.d.Token()
		if err != nil {
			return malformed(err, w.d.InputOffset())
		}
		name, _ := token.(string)
		at := append(slices.Clip(path), name)
		if err := web.CheckText(joined(path), name); err != nil {
			return err
		}
		if err := w.value(at); err != nil {
			return err
		}
	}
	return w.end()
}

func (w walk) array(path []string) error {
	for i := 0; w.d.More(); i++ {
		if err := w.value(append(slices.Clip(path), "["+strconv.Itoa(i)+"]")); err != nil {
			return err
		}
	}
	return w.end()
}

func (w walk) end() error {
	if _, err := w.d.Token(); err != nil {
		return malformed(err, w.d.InputOffset())
	}
	return nil
}

func malformed(err error, offset int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errMalformed("the body ends in the middle of a JSON value")
	}
	return errMalformed("the body is not JSON, near byte %d", offset)
}

func joined(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), ".[", "[")
}

// idempotencyKey returns the Idempotency-Key header, or "" if there is none.
func idempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 128 || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", errs.Invalid("Idempotency-Key", "must be at most 128 printable ASCII characters")
	}
	if n := len(r.Header.Values("Idempotency-Key")); n > 1 {
		return "", errs.Invalid("Idempotency-Key", "must be given once, not %s", fmt.Sprint(n, " times"))
	}
	return key, nil
}

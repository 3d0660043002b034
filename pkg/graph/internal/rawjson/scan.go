// Package rawjson takes JSON text apart without changing it: what it returns are
// slices of the text, byte for byte as Graph sent it. Unlike encoding/json, it keeps
// two different strings different even where they are not valid UTF-8.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// asSent accepts whatever encoding/json accepts, which has checked every
// response: keys that come twice, and strings with bytes that are not UTF-8.
var asSent = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// Scanner walks one JSON text and returns parts of it that keep their bytes and
// share its memory. After the first error it finds nothing more.
type Scanner struct {
	decoder jsontext.Decoder
	in      []byte
	buffer  bytes.Buffer
	err     error
}

// Reset begins a new text. A Scanner can be used again and again.
func (s *Scanner) Reset(raw []byte) {
	s.in, s.buffer, s.err = raw, *bytes.NewBuffer(raw), nil
	s.decoder.Reset(&s.buffer, asSent...)
}

// Err returns the first error so far.
func (s *Scanner) Err() error { return s.err }

// Kind returns the kind of the next token, without reading it.
func (s *Scanner) Kind() jsontext.Kind { return s.decoder.PeekKind() }

// Enter steps into a container and reports whether there is one.
func (s *Scanner) Enter(open jsontext.Kind) bool {
	return s.decoder.PeekKind() == open && s.pass()
}

// More reports whether the container that ends with end has another member or
// item; if not, it steps out of it.
func (s *Scanner) More(end jsontext.Kind) bool {
	if s.decoder.PeekKind() == end {
		s.pass()
		return false
	}
	return s.err == nil
}

func (s *Scanner) pass() bool {
	_, err := s.decoder.ReadToken()
	return s.noted(err)
}

func (s *Scanner) noted(err error) bool {
	if s.err == nil {
		s.err = err
	}
	return s.err == nil
}

// Value returns the bytes of the next value, or of the next member's name.
func (s *Scanner) Value() []byte {
	v, err := s.decoder.ReadValue()
	if !s.noted(err) {
		return nil
	}
	end := s.decoder.InputOffset()
	return s.in[end-int64(len(v)) : end : end]
}

var errTrailing = errors.New("more than one value")

// Finish returns the first error. It is an error if anything but space follows
// the text.
func (s *Scanner) Finish() error {
	if s.err != nil {
		return s.err
	}
	_, err := s.decoder.ReadToken()
	switch {
	case err == nil:
		return errTrailing
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// Fields yields the members of an object as they come, nothing for any other
// value. Values keep their bytes and share raw's memory.
func Fields(raw json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for name, value := range Members(raw) {
			if !yield(string(Unescaped(name)), value) {
				return
			}
		}
	}
}

// Members is [Fields] with names as they are written: quoted and escaped.
func Members(raw json.RawMessage) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		var s Scanner
		s.Reset(raw)
		if !s.Enter('{') {
			return
		}
		for s.More('}') {
			name, value := s.Value(), s.Value()
			if s.err != nil || !yield(name, value) {
				return
			}
		}
	}
}

// Elements yields the items of an array, nothing for any other value.
func Elements(raw json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		var s Scanner
		s.Reset(raw)
		if !s.Enter('[') {
			return
		}
		for s.More(']') {
			value := s.Value()
			if s.err != nil || !yield(value) {
				return
			}
		}
	}
}

// Begins returns the first byte of the value raw holds, 0 if there is no value.
func Begins(raw json.RawMessage) byte {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}

// Unquote returns the string that raw is, "" for any other value.
func Unquote(raw json.RawMessage) string {
	raw = bytes.Trim(raw, " \t\r\n")
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return string(Unescaped(raw))
}

// Unescaped reads a quoted string. The library would make U+FFFD of bytes that
// are not UTF-8 and of halves of surrogate pairs; here two strings that differ
// only in those stay different, as hashes stored long ago know them.
func Unescaped(quoted []byte) []byte {
	rest := quoted[1 : len(quoted)-1 : len(quoted)-1]
	i := bytes.IndexByte(rest, '\\')
	if i < 0 {
		return rest
	}
	out := make([]byte, 0, len(rest))
	for ; i >= 0; i = bytes.IndexByte(rest, '\\') {
		out = append(out, rest[:i]...)
		out, rest = unescape(out, rest[i:])
	}
	return append(out, rest...)
}

// unescape appends what the escape at the beginning of in stands for, and
// returns what follows the escape.
func unescape(out, in []byte) (appended, rest []byte) {
	c := in[1]
	if i := strings.IndexByte("bfnrt", c); i >= 0 {
		return append(out, "\b\f\n\r\t"[i]), in[2:]
	}
	if c != 'u' {
		return append(out, c), in[2:]
	}
	r := unit(in)
	in = in[6:]
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(out, r), in
	}
	if bytes.HasPrefix(in, []byte(`\u`)) {
		if pair := utf16.DecodeRune(r, unit(in)); pair != utf8.RuneError {
			return utf8.AppendRune(out, pair), in[6:]
		}
	}
	return append(out, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F), in
}

// unit returns the number in the \uXXXX that in begins with.
func unit(in []byte) rune {
	n, _ := strconv.ParseUint(string(in[2:6]), 16, 16) // valid JSON has four digits there
	return rune(n)
}

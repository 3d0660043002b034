package graph

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks JSON that is known to be valid, and so needs to look at most
// bytes once and to copy none: a response is checked when it arrives, and taken
// apart many times.
type scanner struct {
	in []byte
	at int
}

// fields yields the members of an object as they come, nothing for any other
// value. Values keep their bytes and share raw's memory.
func fields(raw json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		s := scanner{in: raw}
		if !s.enter('{') {
			return
		}
		for s.more('}') {
			key := s.text()
			s.space()
			s.at++ // :
			if !yield(string(key), s.skip()) {
				return
			}
		}
	}
}

// elements yields the items of an array, nothing for any other value.
func elements(raw json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		s := scanner{in: raw}
		if !s.enter('[') {
			return
		}
		for s.more(']') {
			if !yield(s.skip()) {
				return
			}
		}
	}
}

// begins tells what kind of value raw is by its first byte; 0 for none.
func begins(raw json.RawMessage) byte {
	s := scanner{in: raw}
	if s.space(); s.at == len(raw) {
		return 0
	}
	return raw[s.at]
}

// unquote is the string raw is, "" for any other value.
func unquote(raw json.RawMessage) string {
	s := scanner{in: raw}
	if begins(raw) != '"' {
		return ""
	}
	s.space()
	return string(s.text())
}

// enter steps into a container, if there is one.
func (s *scanner) enter(open byte) bool {
	if s.space(); s.at == len(s.in) || s.in[s.at] != open {
		return false
	}
	s.at++
	return true
}

// more goes to the next member or item; false past the last one, with the
// container left.
func (s *scanner) more(end byte) bool {
	s.space()
	switch s.in[s.at] {
	case end:
		s.at++
		return false
	case ',':
		s.at++
		s.space()
	}
	return true
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// skip passes one value and answers its bytes.
func (s *scanner) skip() []byte {
	s.space()
	from := s.at
	switch s.in[s.at] {
	case '"':
		s.skipText()
	case '{', '[':
		s.skipContainer()
	default:
		s.scalar()
	}
	return s.in[from:s.at:s.at]
}

func (s *scanner) skipContainer() {
	for depth := 0; ; {
		switch s.in[s.at] {
		case '"':
			s.skipText()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if s.at++; depth == 0 {
			return
		}
	}
}

func (s *scanner) skipText() {
	for s.at++; ; s.at++ {
		s.at += bytes.IndexByte(s.in[s.at:], '"')
		slashes := s.at
		for s.in[slashes-1] == '\\' {
			slashes--
		}
		if (s.at-slashes)%2 == 0 {
			s.at++
			return
		}
	}
}

// scalar passes a number, true, false or null.
func (s *scanner) scalar() []byte {
	from := s.at
	for s.at < len(s.in) && strings.IndexByte(" \t\r\n,]}", s.in[s.at]) < 0 {
		s.at++
	}
	return s.in[from:s.at]
}

// text reads a string and unescapes it. Halves of surrogate pairs that stand
// alone are kept apart from each other, which encoding/json would not do.
func (s *scanner) text() []byte {
	from := s.at + 1
	s.skipText()
	rest := s.in[from : s.at-1 : s.at-1]
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
// answers what follows it.
func unescape(out, in []byte) ([]byte, []byte) {
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

// unit is the \uXXXX at the beginning of in.
func unit(in []byte) rune {
	n, _ := strconv.ParseUint(string(in[2:6]), 16, 16) // valid JSON has four digits there
	return rune(n)
}

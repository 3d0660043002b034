package kind

import "encoding/json"

// Sequence is the elements of a navigation property. It makes an element when
// that is needed: one page of a large policy costs one page.
type Sequence struct {
	Len int
	At  func(i int) json.RawMessage
}

func SequenceOf(els []json.RawMessage) Sequence {
	return Sequence{Len: len(els), At: func(i int) json.RawMessage { return els[i] }}
}

func (s Sequence) Slice(from, to int) []json.RawMessage {
	out := make([]json.RawMessage, to-from)
	for i := range out {
		out[i] = s.At(from + i)
	}
	return out
}

func (s Sequence) All() []json.RawMessage { return s.Slice(0, s.Len) }

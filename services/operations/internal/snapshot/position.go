package snapshot

import (
	"encoding/binary"
	"errors"
)

// Position is a place in the order of events. With Until, a reader is on its way
// from After to Until: it has read what After sees and, of the events that only
// Until sees, those with ids up to ID. Without Until it has read exactly what After
// sees, and ID means nothing.
type Position struct {
	After Snapshot
	Until Snapshot
	ID    int64
}

// More reports whether the reader is on its way to Until.
func (p Position) More() bool { return !p.Until.IsZero() }

// From returns the position from which to read on for a reader at p that has also
// got, by other means, everything that s sees.
func (p Position) From(s Snapshot) Position {
	switch {
	case !s.Newer(p.After):
		return p
	case p.Until.IsZero() || !p.Until.Newer(s):
		return Position{After: s}
	}
	p.After = s
	return p
}

// MarshalBinary encodes p in few bytes, as it is part of resume tokens: transaction
// numbers are written as differences.
func (p Position) MarshalBinary() ([]byte, error) {
	b := binary.AppendVarint(nil, p.ID)
	for _, s := range []Snapshot{p.After, p.Until} {
		b = binary.AppendUvarint(b, s.xmin)
		b = binary.AppendUvarint(b, s.xmax-s.xmin)
		b = binary.AppendUvarint(b, uint64(len(s.running)))
		last := s.xmin
		for _, tx := range s.running {
			b = binary.AppendUvarint(b, tx-last)
			last = tx
		}
	}
	return b, nil
}

// UnmarshalBinary decodes what [Position.MarshalBinary] encoded.
func (p *Position) UnmarshalBinary(b []byte) error {
	d := decoder{rest: b}
	p.ID = d.signed()
	p.After, p.Until = d.snapshot(), d.snapshot()
	if d.bad || len(d.rest) > 0 {
		return errors.New("not a position")
	}
	return nil
}

// decoder decodes numbers. After the first that is missing or malformed, bad is set
// and every number is zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.rest)
	d.advance(n)
	return v
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.advance(n)
	return v
}

func (d *decoder) advance(n int) {
	if n <= 0 {
		d.rest, d.bad = nil, true
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) snapshot() Snapshot {
	s := Snapshot{xmin: d.number()}
	s.xmax = s.xmin + d.number()
	count := d.number()
	if count > uint64(len(d.rest)) { // each takes a byte or more: do not allocate for a count that lies
		d.bad = true
		return s
	}
	last := s.xmin
	for range count {
		last += d.number()
		s.running = append(s.running, last)
	}
	return s
}

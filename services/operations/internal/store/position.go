package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is PostgreSQL's: which transactions had ended when it was taken.
// Snapshots of one server are in an order: the newer sees all the older does.
type Snapshot struct {
	xmin, xmax uint64   // all before xmin had ended; none from xmax on had
	running    []uint64 // of those between, the ones that had not; ascending
}

// Sees reports whether transaction tx had ended when s was taken.
func (s Snapshot) Sees(tx uint64) bool {
	if tx < s.xmin || tx >= s.xmax {
		return tx < s.xmin
	}
	_, running := slices.BinarySearch(s.running, tx)
	return !running
}

// Newer reports whether s sees more than o.
func (s Snapshot) Newer(o Snapshot) bool {
	if s.xmax != o.xmax {
		return s.xmax > o.xmax
	}
	return len(s.running) < len(o.running)
}

// upTo answers s for who asks about events only, the last of which it sees was
// written by transaction last. What s sees beyond that wrote no event, and may
// not outlive a crash: a transaction that was not flushed leaves no trace, and
// its number is given again, to one that may well write an event.
func (s Snapshot) upTo(last int64) Snapshot {
	s.xmax = min(s.xmax, uint64(last)+1) //nolint:gosec // a transaction id has 63 bits at most
	s.xmin = min(s.xmin, s.xmax)
	end, _ := slices.BinarySearch(s.running, s.xmax)
	s.running = s.running[:end]
	return s
}

func (s Snapshot) zero() bool { return s.xmax == 0 }

// parseSnapshot reads PostgreSQL's own form, xmin:xmax:running,running.
func parseSnapshot(text string) (Snapshot, error) {
	var s Snapshot
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("snapshot %q", text)
	}
	numbers := parts[:2:2]
	if parts[2] != "" {
		numbers = append(numbers, strings.Split(parts[2], ",")...)
	}
	read := make([]uint64, len(numbers))
	for i, number := range numbers {
		var err error
		if read[i], err = strconv.ParseUint(number, 10, 64); err != nil {
			return s, fmt.Errorf("snapshot %q: %w", text, err)
		}
	}
	return Snapshot{xmin: read[0], xmax: read[1], running: read[2:]}, nil
}

func (s Snapshot) String() string {
	return fmt.Sprintf("%d:%d:%s", s.xmin, s.xmax, strings.Join(s.runningTexts(), ","))
}

func (s Snapshot) xmaxText() string { return strconv.FormatUint(s.xmax, 10) }

func (s Snapshot) runningTexts() []string {
	texts := make([]string, len(s.running))
	for i, tx := range s.running {
		texts[i] = strconv.FormatUint(tx, 10)
	}
	return texts
}

// Position is a place in the order of events, exact: of those that Until sees and
// After does not, the ones up to ID are behind it. Without Until it stands at a
// snapshot: what After sees is behind it, and nothing else.
type Position struct {
	After Snapshot
	Until Snapshot
	ID    int64
}

// More reports whether p stands within a reading that is not finished.
func (p Position) More() bool { return !p.Until.zero() }

// From answers p for a reader who knows everything that s sees.
func (p Position) From(s Snapshot) Position {
	switch {
	case !s.Newer(p.After):
		return p
	case p.Until.zero() || !p.Until.Newer(s):
		return Position{After: s}
	}
	p.After = s
	return p
}

// MarshalBinary makes p as short as it goes: it travels in resume tokens.
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

// UnmarshalBinary reads what MarshalBinary made.
func (p *Position) UnmarshalBinary(b []byte) error {
	r := reader{rest: b}
	p.ID = r.signed()
	p.After, p.Until = r.snapshot(), r.snapshot()
	if r.bad || len(r.rest) > 0 {
		return errors.New("not a position")
	}
	return nil
}

// reader reads numbers until there are none.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.rest)
	r.advance(n)
	return v
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.advance(n)
	return v
}

func (r *reader) advance(n int) {
	if n <= 0 {
		r.rest, r.bad = nil, true
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) snapshot() Snapshot {
	s := Snapshot{xmin: r.number()}
	s.xmax = s.xmin + r.number()
	count := r.number()
	if count > uint64(len(r.rest)) {
		r.bad = true
		return s
	}
	last := s.xmin
	for range count {
		last += r.number()
		s.running = append(s.running, last)
	}
	return s
}

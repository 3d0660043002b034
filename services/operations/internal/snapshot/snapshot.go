// Package snapshot puts events into an order in which a reader misses none and
// reads none twice. It computes with what PostgreSQL says; it does no I/O.
//
// Ids and times cannot give that order: transaction 7 may commit an event with a
// smaller id after a reader has seen a greater one. What a reader has seen is
// therefore a [Snapshot], the set of transactions that had ended:
//
//	pg_snapshot 101:105:101,103 (xmin:xmax:running)
//
//	transaction … 99  100 │ 101  102  103  104 │ 105  106 …
//	had ended?      yes   │ no   yes  no   yes │    no
//	                    xmin                 xmax
//
// A reader goes from one snapshot (After) to a newer one (Until). What lies between
// is read in the order of ids, a page at a time:
//
//	seen by After  │ seen by Until only       │ seen by neither
//	all read       │ id 21   id 22   id 25    │ read later
//	                         ▲ at Position{After, Until, ID: 22} the next event is 25
//
// When the last page is read, the [Position] is just {After: Until}.
package snapshot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot says which transactions had ended at a moment, as PostgreSQL's
// pg_snapshot does. Of two snapshots of one server, the newer sees everything that
// the older sees. The zero Snapshot stands for no snapshot.
type Snapshot struct {
	xmin, xmax uint64   // every transaction before xmin had ended, none from xmax on
	running    []uint64 // the transactions between them that had not; ascending
}

// Parse reads PostgreSQL's text of a snapshot, xmin:xmax:running,running.
func Parse(text string) (Snapshot, error) {
	var s Snapshot
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("snapshot %q", text)
	}
	numbers := parts[:2:2]
	if parts[2] != "" {
		numbers = append(numbers, strings.Split(parts[2], ",")...)
	}
	parsed := make([]uint64, len(numbers))
	for i, number := range numbers {
		var err error
		if parsed[i], err = strconv.ParseUint(number, 10, 64); err != nil {
			return s, fmt.Errorf("snapshot %q: %w", text, err)
		}
	}
	return Snapshot{xmin: parsed[0], xmax: parsed[1], running: parsed[2:]}, nil
}

// String returns s as PostgreSQL writes and reads it.
func (s Snapshot) String() string {
	return fmt.Sprintf("%d:%d:%s", s.xmin, s.xmax, strings.Join(s.Running(), ","))
}

// Xmax returns the first transaction that s does not see, nor any after it, as text.
func (s Snapshot) Xmax() string { return strconv.FormatUint(s.xmax, 10) }

// Running returns the transactions before [Snapshot.Xmax] that s does not see, as texts.
func (s Snapshot) Running() []string {
	texts := make([]string, len(s.running))
	for i, tx := range s.running {
		texts[i] = strconv.FormatUint(tx, 10)
	}
	return texts
}

// IsZero reports whether s is no snapshot.
func (s Snapshot) IsZero() bool { return s.xmax == 0 }

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

// UpTo returns a snapshot that sees what s sees, but nothing after transaction last:
// the last one that s sees and that wrote an event.
//
// A snapshot must not be kept without this. Suppose that s also sees transaction
// 120, which wrote no event, and that the server crashes before 120 is on disk. It
// then gives the number 120 again, to a transaction that may write an event. A
// reader that kept s would take that event for seen.
func (s Snapshot) UpTo(last int64) Snapshot {
	s.xmax = min(s.xmax, uint64(last)+1) //nolint:gosec // a transaction id has 63 bits at most
	s.xmin = min(s.xmin, s.xmax)
	end, _ := slices.BinarySearch(s.running, s.xmax)
	s.running = s.running[:end]
	return s
}

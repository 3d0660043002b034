package query

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Keyed is a row with the id of a run, by which [Merge] compares it.
type Keyed interface{ Key() int64 }

// Stream reads rows in the order of their keys and holds one in memory at a time.
type Stream[T Keyed] struct {
	rows pgx.Rows
	row  T
	more bool // row is valid
}

// Read starts to read sql, which has to order its rows by their keys. The caller
// closes the stream.
func Read[T Keyed](ctx context.Context, q Rows, sql string, args ...any) (*Stream[T], error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	s := &Stream[T]{rows: rows}
	if err := s.next(); err != nil {
		rows.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the statement.
func (s *Stream[T]) Close() { s.rows.Close() }

func (s *Stream[T]) next() (err error) {
	if s.more = s.rows.Next(); !s.more {
		return s.rows.Err()
	}
	s.row, err = pgx.RowToStructByPos[T](s.rows)
	return err
}

// Merge calls both for every row of left and right, in the order of their keys. Rows
// with equal keys come together; the other argument is nil for a key that only one
// stream has. Left may have several rows with one key, right may not: keys 1, 2, 2 on
// the left and 2, 3 on the right give (1, nil), (2, 2), (2, 2), (nil, 3).
func Merge[L, R Keyed](left *Stream[L], right *Stream[R], both func(*L, *R) error) error {
	matched := false
	for left.more || right.more {
		var err error
		switch {
		case !right.more || left.more && left.row.Key() < right.row.Key():
			if err = both(&left.row, nil); err == nil {
				err = left.next()
			}
		case left.more && left.row.Key() == right.row.Key():
			matched = true
			if err = both(&left.row, &right.row); err == nil {
				err = left.next()
			}
		default:
			if !matched {
				err = both(nil, &right.row)
			}
			matched = false
			if err == nil {
				err = right.next()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

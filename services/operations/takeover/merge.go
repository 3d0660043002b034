package takeover

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// keyed is a row that has, or is, a run.
type keyed interface{ run() int64 }

// stream is rows in the order of their runs, of which one at a time is in memory.
type stream[T keyed] struct {
	rows pgx.Rows
	row  T
	more bool // row is one
}

// streamed begins to read what sql answers. Whoever has it closes its rows.
func streamed[T keyed](ctx context.Context, q querier, sql string, args ...any) (*stream[T], error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	s := &stream[T]{rows: rows}
	if err := s.next(); err != nil {
		rows.Close()
		return nil, err
	}
	return s, nil
}

func (s *stream[T]) next() (err error) {
	if s.more = s.rows.Next(); !s.more {
		return s.rows.Err()
	}
	s.row, err = pgx.RowToStructByPos[T](s.rows)
	return err
}

// merge brings the rows of both streams together by their runs: alone answers a nil
// for what only the other has. Several rows of left may have one run.
func merge[L, R keyed](left *stream[L], right *stream[R], both func(*L, *R) error) error {
	matched := false
	for left.more || right.more {
		var err error
		switch {
		case !right.more || left.more && left.row.run() < right.row.run():
			if err = both(&left.row, nil); err == nil {
				err = left.next()
			}
		case left.more && left.row.run() == right.row.run():
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

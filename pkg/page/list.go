package page

import "fmt"

// Page is the part of a list that a store is to read: the rows after a cursor,
// in the order of the list. The zero cursor is before the first row.
type Page[C any] struct {
	After C
	// Limit is one more than the size of the page: if there are that many rows,
	// a page follows. See [Finish].
	Limit int
}

// List is one list request while it is being served.
type List[C any] struct {
	Page[C]
	sealer  *Sealer
	binding string
}

// Request is what the requests of all lists have.
type Request interface {
	GetPageSize() int32
	GetPageToken() string
}

// Begin reads the size and the token of a list request. The format and its
// arguments are the binding of the list's tokens: see [Sealer.Seal].
func Begin[C any](s *Sealer, req Request, format string, args ...any) (List[C], error) {
	l := List[C]{sealer: s, binding: fmt.Sprintf(format, args...)}
	size, err := Size(req.GetPageSize())
	if err != nil {
		return l, err
	}
	l.Limit = size + 1
	if req.GetPageToken() != "" {
		err = s.Open(req.GetPageToken(), l.binding, &l.After)
	}
	return l, err
}

// Finish turns the rows that were read for l into the messages of its page and
// the token of the next page, "" if no page follows. A row's cursor is what
// [Page.After] is for the page behind it.
func Finish[C, T, W any](l List[C], rows []T, cursor func(T) C, wire func(T) W) (messages []W, next string, err error) {
	if len(rows) == l.Limit {
		rows = rows[:l.Limit-1]
		if next, err = l.sealer.Seal(l.binding, cursor(rows[len(rows)-1])); err != nil {
			return nil, "", err
		}
	}
	for _, row := range rows {
		messages = append(messages, wire(row))
	}
	return messages, next, nil
}

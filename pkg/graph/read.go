package graph

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/graph/canonical"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// Object is one object as Graph holds it, whole.
type Object struct {
	ID, Name, ODataType string
	Raw                 json.RawMessage     // byte for byte: the list's element, or the item where the type is read by item
	Children            []canonical.Element // by collection, parent and ordinal
	Assignments         []json.RawMessage
	Hash                [sha256.Size]byte // as [canonical.Hasher] has it
	Err                 error             // it could not be read completely: nothing of it may be stored
}

// ReadResult is what reading a type came to.
type ReadResult struct {
	Listed, Read, Failed int
	Requests             int  // HTTP requests, repetitions included
	Complete             bool // the list was read to its end and no object failed
}

// ReadType reads every object of a type with its children and assignments and
// hands each to yield, in no particular order, one at a time.
//
// An object that fails is handed over with Err set and does not stop the rest.
// The error says that the reading ended early: yield said so, ctx did, the list
// failed, or the tenant refuses us. Then, and whenever Complete is false, what
// was not seen is unknown, not gone.
func (c *Client) ReadType(ctx context.Context, t catalog.Type, yield func(Object) error) (ReadResult, error) {
	r := &reader{client: c.counting(), of: t, hasher: canonical.NewHasher(t), chunks: make(chan []*assembly), done: make(chan Object, c.pool.cfg.Concurrency)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.list(ctx) })
	group.Go(func() error { return r.workers(ctx) })
	var result ReadResult
	group.Go(func() error {
		for o := range r.done {
			if err := yield(o); err != nil {
				return err
			}
			if o.Err != nil {
				result.Failed++
			} else {
				result.Read++
			}
		}
		return nil
	})
	err := group.Wait()
	result.Listed = r.listed
	result.Requests = int(r.client.sent.Load())
	result.Complete = err == nil && result.Failed == 0
	return result, err
}

// reader is one ReadType: the list feeds the workers, they feed yield. Memory is
// bounded by a page of the list, a chunk per worker, and what waits for yield.
type reader struct {
	client *Client
	of     catalog.Type
	hasher *canonical.Hasher
	chunks chan []*assembly
	done   chan Object
	listed int // the lister's alone until the end
}

// list reads the list and hands it on in chunks whose first requests fit a batch.
func (r *reader) list(ctx context.Context) error {
	defer close(r.chunks)
	size := max(1, BatchSize/max(1, firstParts(r.of)))
	seen := make(map[string]bool)
	var chunk []*assembly
	err := r.client.Each(ctx, listPath(r.of), func(element json.RawMessage) error {
		a := newAssembly(r.of, element)
		if a.ID != "" && seen[a.ID] {
			return nil // a list that moved while it was paged shows an object twice
		}
		seen[a.ID] = true
		r.listed++
		if chunk = append(chunk, a); len(chunk) < size {
			return nil
		}
		full := chunk
		chunk = nil
		return hand(ctx, r.chunks, full)
	})
	if err != nil || len(chunk) == 0 {
		return err
	}
	return hand(ctx, r.chunks, chunk)
}

// workers complete chunks side by side. There are more workers than requests that
// may be in flight: while one works on a response, another one's request is on
// its way.
func (r *reader) workers(ctx context.Context) error {
	defer close(r.done)
	group, ctx := errgroup.WithContext(ctx)
	for range 2 * r.client.pool.cfg.Concurrency {
		group.Go(func() error {
			for chunk := range r.chunks {
				if err := r.complete(ctx, chunk); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// complete reads the missing parts of a chunk's objects, and passes them on.
func (r *reader) complete(ctx context.Context, chunk []*assembly) error {
	if err := r.fill(ctx, chunk); err != nil {
		return err
	}
	for _, a := range chunk {
		a.finish()
		if a.Err == nil {
			var err error
			if a.Hash, err = r.hasher.Hash(a.Raw, a.Children, a.Assignments); err != nil {
				return fmt.Errorf("graph: object %s: %w", a.ID, err) // every response was JSON, and so are its parts
			}
		}
		if err := hand(ctx, r.done, a.Object); err != nil {
			return err
		}
	}
	return nil
}

// hand sends v, unless ctx ends first.
func hand[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fill requests the parts that the objects lack, round after round: a response
// may name another page, or other collections. Each round takes as few requests
// as possible.
func (r *reader) fill(ctx context.Context, chunk []*assembly) error {
	var pending []*part
	for _, a := range chunk {
		pending = append(pending, a.first(r.client.pool)...)
	}
	for len(pending) > 0 {
		answers, err := r.fetch(ctx, pending)
		if err != nil {
			return err
		}
		var next []*part
		for i, p := range pending {
			next = append(next, p.accept(r.client.pool, answers[i])...)
		}
		pending = next[:0]
		for _, p := range next {
			if p.of.Err == nil { // nothing more is asked for an object that failed
				pending = append(pending, p)
			}
		}
	}
	return nil
}

// fetch returns the response to every part. Failures of single parts are in the
// responses; the error says what ends the whole reading.
func (r *reader) fetch(ctx context.Context, parts []*part) ([]BatchResponse, error) {
	answers := make([]BatchResponse, len(parts))
	var together []int
	for i, p := range parts {
		if _, ok := p.member(r.of.Version); ok && len(parts) > 1 {
			together = append(together, i)
			continue
		}
		body, err := r.client.follow(ctx, p.link)
		if fatal(err) {
			return nil, err
		}
		answers[i] = BatchResponse{Body: body, Err: err}
	}
	if len(together) == 0 {
		return answers, nil
	}
	reqs := make([]BatchRequest, len(together))
	for i, at := range together {
		reqs[i].Path, _ = parts[at].member(r.of.Version)
	}
	got, err := r.client.Batch(ctx, r.of.Version, reqs)
	if err != nil {
		return nil, err
	}
	for i, at := range together {
		if fatal(got[i].Err) {
			return nil, got[i].Err
		}
		answers[at] = got[i]
	}
	return answers, nil
}

// fatal reports whether err would end every other request as well.
func fatal(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Class == ClassTenantAuth
	}
	return err != nil
}

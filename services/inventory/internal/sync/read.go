package sync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/graph/canonical"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// A batch is written when it has so many objects or so many bytes.
const (
	batchObjects = 100
	batchBytes   = 4 << 20
)

// errStore marks failures of our own database. They pass, and then the type is read
// again.
var errStore = errors.New("store")

// readType reads a type to its end. If the database goes away meanwhile, it waits
// and begins again. The error ends the run.
func (j *job) readType(ctx context.Context, t catalog.Type) error {
	err := work.Patiently(ctx, passing, func() error {
		err := j.readLocked(ctx, t)
		if passing(err) {
			j.log.WarnContext(ctx, "read of type interrupted", "run_id", j.run.ID, "type", t.Name, "err", err)
		}
		return err
	})
	if passing(err) {
		f := work.Fail(operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY, "The inventory database was not available for too long.")
		f.Item, f.Retryable, f.Cause = t.Name, true, err
		return f
	}
	return err
}

func passing(err error) bool {
	return errors.Is(err, errStore) && !errors.Is(err, store.ErrTakenOver)
}

// readLocked reads a type while no other worker reads it.
func (j *job) readLocked(ctx context.Context, t catalog.Type) error {
	lock, err := j.store.Lock(ctx, j.run.TenantID, t.Name)
	if err != nil {
		return stored(ctx, err)
	}
	defer lock.Release()
	held, release := lock.Hold(ctx)
	defer release()
	read, err := j.store.BeginRead(held, item.Read{
		WorkspaceID: j.run.WorkspaceID, TenantID: j.run.TenantID, Type: t.Name, RunID: j.run.ID, Epoch: j.run.Epoch,
	})
	if err != nil {
		return stored(ctx, err)
	}
	r := &reading{job: j, of: t, read: read, batches: make(chan []item.Seen)}
	coverage, err := r.stream(held)
	if err == nil {
		coverage, err = r.confirm(held, coverage)
	}
	if err != nil {
		j.abandon(ctx, coverage)
		return err
	}
	if coverage, err = j.store.EndRead(held, coverage); err != nil {
		return stored(ctx, err)
	}
	j.tally.fail(r.failures)
	j.tally.end(coverage)
	return nil
}

// stored marks err as a failure of the store, unless the run's context ended first.
// A lost lock is a failure of the store, too.
func stored(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

// cutShort returns why ctx ended. A lock that was lost is a failure of the store.
func cutShort(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), store.ErrLockLost) {
		return fmt.Errorf("%w: %w", errStore, store.ErrLockLost)
	}
	return context.Cause(ctx)
}

// abandon closes a read that was cut short, if the run is still ours. The next
// reader of the type would close it as well, but people should see it at once.
func (j *job) abandon(ctx context.Context, c item.Coverage) {
	cause := context.Cause(ctx)
	if errors.Is(cause, work.ErrLeaseLost) {
		return
	}
	why := "The read was cut short."
	switch {
	case errors.Is(cause, work.ErrCancelRequested):
		why = "The run was cancelled while it was read."
	case errors.Is(cause, work.ErrShutdown):
		why = "The worker was shut down while it was read; the run goes on elsewhere."
	case errors.Is(cause, work.ErrPlaceNeeded):
		why = "Graph made the run wait; it goes on later."
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if _, err := j.store.EndRead(ctx, incomplete(c, unknown, why)); err != nil {
		j.log.DebugContext(ctx, "read left open", "run_id", j.run.ID, "type", c.Type, "err", err)
	}
}

// reading is one read of one type. It gathers Graph's objects to a batch while the
// batch before is being written.
type reading struct {
	*job
	of      catalog.Type
	read    item.Read
	batches chan []item.Seen

	batch    []item.Seen // not yet handed to the writer
	size     int
	seen     item.Counts // objects that came in; the writer counts its own
	failures failures
}

// stream reads all objects of the type and returns what was read. If there is an
// error, nothing may be concluded from the read.
func (r *reading) stream(ctx context.Context) (item.Coverage, error) {
	coverage := item.Coverage{Read: r.read}
	var written item.Counts
	writers, wctx := errgroup.WithContext(ctx)
	writers.Go(func() (err error) {
		written, err = r.write(wctx)
		return err
	})
	got, readErr := r.client.ReadType(wctx, r.of, func(o graph.Object) error { return r.take(wctx, o) })
	if readErr == nil {
		readErr = r.hand(wctx)
	}
	close(r.batches)
	writeErr := writers.Wait()
	r.tally.sent(got.Requests)
	coverage.Counts = written
	coverage.Listed, coverage.Failed = max(int64(got.Listed), r.seen.Listed), r.seen.Failed
	switch {
	case ctx.Err() != nil:
		return coverage, cutShort(ctx)
	case writeErr != nil:
		return coverage, fmt.Errorf("%w: %w", errStore, writeErr)
	}
	return r.judge(coverage, got, readErr)
}

// judge decides how complete the read is. If the tenant refuses us, the error ends
// the run.
func (r *reading) judge(c item.Coverage, got graph.ReadResult, err error) (item.Coverage, error) {
	var g *graph.Error
	switch {
	case errors.As(err, &g) && g.Class == graph.ClassTenantAuth:
		return c, r.cred.Refused(g)
	case err != nil:
		entry := failure(r.of.Name, err)
		r.failures.add(entry)
		return incomplete(c, entry.GetReason(), entry.GetMessage()), nil
	case c.Failed > 0:
		first := r.failures.kept[0]
		return incomplete(c, first.GetReason(), fmt.Sprintf("%d of %d could not be read.", c.Failed, c.Listed)), nil
	}
	c.Complete = got.Complete
	if !c.Complete {
		return incomplete(c, unknown, "The list was not read to its end."), nil
	}
	return c, nil
}

// take receives one object from Graph. Nothing is stored of an object that failed.
func (r *reading) take(ctx context.Context, o graph.Object) error {
	r.seen.Listed++
	seen, err := look(o)
	if err != nil {
		r.seen.Failed++
		r.failures.add(failure(r.of.Name+"/"+o.ID, err))
		r.log.InfoContext(ctx, "object not read", "run_id", r.run.ID, "type", r.of.Name, "external_id", o.ID, "err", err)
	} else {
		r.batch = append(r.batch, seen)
		r.size += seen.Size()
	}
	if len(r.batch) < batchObjects && r.size < batchBytes {
		return nil
	}
	return r.hand(ctx)
}

// maxID is longer than any id that Graph has, and shorter than what an entry of a
// PostgreSQL index holds.
const maxID = 512

// errUnstorable is the error for an object with an id that the database cannot hold.
// Such an id is refused and not mended: two ids that differ must not become one.
var errUnstorable = &graph.Error{
	Class: graph.ClassValidation, Code: graph.CodeMalformed, Message: "an id of the object is too long, or no text",
}

func storable(id string) bool {
	return len(id) <= maxID && utf8.ValidString(id) && !strings.Contains(id, "\x00")
}

// look turns an object of Graph into the domain's.
func look(o graph.Object) (item.Seen, error) {
	if o.Err != nil {
		return item.Seen{}, o.Err
	}
	if !storable(o.ID) {
		return item.Seen{}, errUnstorable
	}
	s := item.Seen{
		ExternalID: o.ID, DisplayName: text(o.Name), ODataType: text(o.ODataType), Hash: o.Hash, Payload: o.Raw,
		Elements: make([]item.Element, 0, len(o.Children)+len(o.Assignments)),
	}
	for _, c := range o.Children {
		if !storable(c.ParentID) {
			return item.Seen{}, errUnstorable
		}
		s.Elements = append(s.Elements, item.Element{
			Collection: c.Collection, ParentID: c.ParentID, Ordinal: int32(c.Ordinal), Payload: c.Raw,
		})
	}
	for i, a := range o.Assignments {
		s.Elements = append(s.Elements, item.Element{Collection: "assignments", Ordinal: int32(i), Payload: a})
	}
	return s, nil
}

// text returns s without what PostgreSQL's text cannot hold: NUL and halves of
// characters. The payload keeps every byte.
func text(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "") }

// hand gives the batch to the writer. It waits until the writer has written the
// batch before.
func (r *reading) hand(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	select {
	case r.batches <- r.batch:
		r.batch, r.size = nil, 0
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// write stores batches as they come. It checks ctx before each: a worker that has
// lost its run writes no more. The store would refuse it, too.
func (r *reading) write(ctx context.Context) (item.Counts, error) {
	var sum item.Counts
	for batch := range r.batches {
		if ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
		counts, err := r.store.Write(ctx, r.read, canonical.Version, batch)
		if err != nil {
			return sum, err
		}
		sum.Add(counts)
		sum.Listed = sum.Read
		r.tally.set(r.of.Name, sum)
	}
	return sum, nil
}

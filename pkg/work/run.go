package work

import (
	"context"
	"maps"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Job is the body of a run type. It may be called again for the same run after a
// crash or a shutdown, so it must be resumable. A nil error says that it went
// through to the end, whatever the outcome; a [*Failure] fails the run with what
// it says, any other error fails it with a sentence that does not say why.
//
// When ctx ends the job must return soon; see [ErrLeaseLost] and its siblings.
type Job func(ctx context.Context, r *Run) (Result, error)

// Result is how a job ended.
type Result struct {
	Outcome  operationsv1.RunOutcome
	Counts   map[string]int64 // final and absolute; nil keeps what was last reported
	Failures []*operationsv1.Failure
}

// Run is what a job knows of the run it works on.
type Run struct {
	ID            int64
	WorkspaceID   int64
	TenantID      int64 // 0 for a run of a whole workspace
	UserID        int64 // 0 if nobody asked for it
	InitiatorName string
	Type          string
	Context       *structpb.Struct
	Attempt       int32 // from 1
	MaxAttempts   int32
	Epoch         int64 // of the lease this attempt works under

	progress *progress
	waiting  func(time.Duration) (resume func(context.Context))
}

// Waiting says that the job only waits for d, for example for Graph's quota, so that
// another run may begin meanwhile. Until then no further run of its tenant begins in this
// process. The job must call resume before it works on; resume waits for a place, or for
// the end of its context. If too many jobs wait, the context ends with [ErrPlaceNeeded].
//
//	resume := r.Waiting(untilGraphAllows)
//	err := pause.For(ctx, untilGraphAllows)
//	resume(ctx)
func (r *Run) Waiting(d time.Duration) (resume func(context.Context)) {
	if r.waiting == nil {
		return func(context.Context) {}
	}
	return r.waiting(d)
}

// Progress says how far the job has come, in absolute numbers that replace those
// said before. It never blocks; the latest are sent at least a second apart.
func (r *Run) Progress(counts map[string]int64) { r.progress.set(counts) }

func newRun(m *operationsv1.Run, p *progress) *Run {
	return &Run{
		ID:            m.GetId(),
		WorkspaceID:   m.GetWorkspaceId(),
		TenantID:      m.GetTenantId(),
		UserID:        m.GetUserId(),
		InitiatorName: m.GetInitiatorName(),
		Type:          m.GetType(),
		Context:       m.GetContext(),
		Attempt:       m.GetAttempt(),
		MaxAttempts:   m.GetMaxAttempts(),
		Epoch:         m.GetLeaseEpoch(),
		progress:      p,
	}
}

// progress holds the latest counters between the job, which sets them, and the
// heartbeat, which sends those the store does not know yet.
type progress struct {
	mu      sync.Mutex
	latest  map[string]int64
	version int // of latest
	sent    int // the version the store was last given
	changed chan struct{}
}

// newProgress begins with the counters of the attempt before. They stay until this
// attempt reports its own.
func newProgress(counts map[string]int64) *progress {
	return &progress{latest: counts, changed: make(chan struct{}, 1)}
}

func (p *progress) set(counts map[string]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(p.latest, counts) {
		return
	}
	p.latest = maps.Clone(counts)
	p.version++
	select {
	case p.changed <- struct{}{}:
	default: // the heartbeat has not looked since the last time
	}
}

// unsent returns the latest counters, or nil when the store has them already.
func (p *progress) unsent() (counts map[string]int64, version int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.changed: // this heartbeat carries the news
	default:
	}
	if p.sent == p.version {
		return nil, p.version
	}
	return p.latest, p.version
}

func (p *progress) markSent(version int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = version
}

func (p *progress) counts() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

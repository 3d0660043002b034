// Package worktest is a run store in memory, for tests of services that start runs
// and of workers that work on them. [Exercise] runs against it and against operations,
// and checks that both keep the same rules. The store keeps no history, has no lists and
// checks no permissions: the tests of operations and e2e cover these.
package worktest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

const (
	queued    = operationsv1.RunStatus_RUN_STATUS_QUEUED
	running   = operationsv1.RunStatus_RUN_STATUS_RUNNING
	completed = operationsv1.RunStatus_RUN_STATUS_COMPLETED

	pending   = operationsv1.RunOutcome_RUN_OUTCOME_PENDING
	failed    = operationsv1.RunOutcome_RUN_OUTCOME_FAILED
	cancelled = operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED
)

// Store is the run store. Its clock moves with [Store.Expire], and is otherwise
// that of the process.
type Store struct {
	operationsv1.UnimplementedRunServiceServer
	operationsv1.UnimplementedRunReaderServiceServer

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	opts     Options
	skew     time.Duration
	runs     []*record // by id, from 1
	known    map[string]answer
	requests []*operationsv1.StartRunRequest
	away     bool
	begun    chan struct{}
}

// Options are what tests set before a store is used. Zero values mean: leases of
// 20 s, 3 attempts, no bound on queued runs, pages of 500.
type Options struct {
	Lease       time.Duration
	MaxAttempts int32
	MaxQueued   int // of a workspace
	PageSize    int // of ListDispatchableRuns
}

// record is a run with the facts that its proto does not show.
type record struct {
	run      *operationsv1.Run
	released int64                            // the epoch of the last release, while queued
	end      *operationsv1.CompleteRunRequest // what completed it
	begins   int
}

// answer is the start that a request id stands for.
type answer struct {
	request *operationsv1.StartRunRequest
	id      int64
	started bool
}

// New returns an empty store.
func New(o Options) *Store {
	if o.Lease == 0 {
		o.Lease = 20 * time.Second
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 3
	}
	if o.PageSize == 0 {
		o.PageSize = 500
	}
	return &Store{changed: make(chan struct{}), opts: o, known: map[string]answer{}}
}

// Register makes the store the two run services of a server.
func (s *Store) Register(r grpc.ServiceRegistrar) {
	operationsv1.RegisterRunServiceServer(r, s)
	operationsv1.RegisterRunReaderServiceServer(r, s)
}

// Add puts a queued run into workspace 1. Nobody writes a slip for it.
func (s *Store) Add(typ string) int64 { return s.AddFor(1, 0, typ) }

// AddFor puts a queued run of a tenant into a workspace. With tenant 0 the run is of the
// whole workspace.
func (s *Store) AddFor(workspaceID, tenantID int64, typ string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	req := &operationsv1.StartRunRequest{WorkspaceId: workspaceID, Type: typ, IdentityInputs: fmt.Sprint("added ", len(s.runs))}
	if tenantID != 0 {
		req.TenantId = &tenantID
	}
	r := s.create(req, 0)
	s.tell()
	return r.run.GetId()
}

// Get returns a run as it is now.
func (s *Store) Get(id int64) *operationsv1.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return proto.CloneOf(s.find(id).run)
}

// Change changes a run in a way that no call does.
func (s *Store) Change(id int64, change func(*operationsv1.Run)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.find(id).run)
	s.tell()
}

// Begins returns how often a run was begun.
func (s *Store) Begins(id int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(id).begins
}

// Requests returns every StartRun that came, in order.
func (s *Store) Requests() []*operationsv1.StartRunRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*operationsv1.StartRunRequest(nil), s.requests...)
}

// Runs returns how many runs there are.
func (s *Store) Runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs)
}

// Until waits until ok reports true for a run, and returns the run.
func (s *Store) Until(t *testing.T, id int64, what string, ok func(*operationsv1.Run) bool) *operationsv1.Run {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		r, changed := proto.CloneOf(s.find(id).run), s.changed
		s.mu.Unlock()
		if ok(r) {
			return r
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("run %d is never %s: %v", id, what, r)
		}
	}
}

// UntilCompleted waits for a run to end.
func (s *Store) UntilCompleted(t *testing.T, id int64) *operationsv1.Run {
	t.Helper()
	return s.Until(t, id, "completed", func(r *operationsv1.Run) bool { return r.GetStatus() == completed })
}

// Away makes heartbeats and completions fail as Unavailable from now on.
func (s *Store) Away() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
}

// HoldBegins makes BeginRun calls wait: the run begins, but the call returns only after
// release is called.
func (s *Store) HoldBegins() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.begun = held
	return sync.OnceFunc(func() { close(held) })
}

// Expire lets every lease end.
func (s *Store) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += s.opts.Lease + time.Second
	s.tell()
}

// Reap makes one pass as operations' reaper does: it ends or requeues every run whose
// lease has ended.
func (s *Store) Reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.run.GetStatus() == running && s.expired(r) && !s.endExpired(r) {
			s.requeue(r)
		}
	}
	s.tell()
}

// Complete ends every run that is active, as succeeded.
func (s *Store) Complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.run.GetStatus() != completed {
			s.end(r, operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED)
		}
	}
	s.tell()
}

func (s *Store) now() time.Time { return time.Now().Add(s.skew) }

// tell wakes those who wait for a change; s.mu is held.
func (s *Store) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// find returns an empty record for an id that is not there.
func (s *Store) find(id int64) *record {
	if id < 1 || id > int64(len(s.runs)) {
		return &record{}
	}
	return s.runs[id-1]
}

func (s *Store) expired(r *record) bool {
	return !r.run.GetLeaseExpireTime().AsTime().After(s.now())
}

func (s *Store) stamp(r *record) { r.run.UpdateTime = timestamppb.New(s.now()) }

// lease gives r to a holder from now on.
func (s *Store) lease(r *record, holder string) {
	r.begins++
	r.run.Status, r.run.LeaseHolder = running, holder
	r.run.LeaseEpoch++
	r.run.Attempt++
	r.released = 0
	r.run.LeaseExpireTime = timestamppb.New(s.now().Add(s.opts.Lease))
	if r.run.GetStartTime() == nil {
		r.run.StartTime = timestamppb.New(s.now())
	}
	s.stamp(r)
}

func (s *Store) requeue(r *record) {
	r.run.Status, r.run.LeaseHolder, r.run.LeaseExpireTime = queued, "", nil
	r.run.QueueTime = timestamppb.New(s.now())
	r.run.LeaseEpoch++
	s.stamp(r)
}

func (s *Store) end(r *record, outcome operationsv1.RunOutcome, failures ...*operationsv1.Failure) {
	r.run.Status, r.run.Outcome, r.run.CompleteTime = completed, outcome, timestamppb.New(s.now())
	r.run.LeaseHolder, r.run.LeaseExpireTime = "", nil
	r.run.FailureSummary = append(r.run.FailureSummary, failures...)
	s.stamp(r)
}

// endExpired ends r, whose lease has ended, if nobody may try it again.
func (s *Store) endExpired(r *record) bool {
	switch {
	case r.run.GetCancelRequestTime() != nil:
		s.end(r, cancelled)
	case r.run.GetAttempt() >= r.run.GetMaxAttempts():
		s.end(r, failed, &operationsv1.Failure{Reason: operationsv1.FailureReason_FAILURE_REASON_LEASE_EXPIRED, Retryable: true})
	default:
		return false
	}
	return true
}

func refuse(make func(reason, format string, args ...any) *errs.Error, reason operationsv1.RunReason, id int64) error {
	return make(errs.Word(reason), "run %d: %s", id, reason)
}

func runCompleted(r *record) error {
	return refuse(errs.Conflict, operationsv1.RunReason_RUN_REASON_RUN_COMPLETED, r.run.GetId())
}

// held finds a run under its lease.
func (s *Store) held(id, epoch int64) (*record, error) {
	r := s.find(id)
	switch {
	case s.away:
		return nil, errs.Unavailable("AWAY", "operations is away")
	case r.run == nil:
		return nil, errs.NotFound("run")
	case r.run.GetStatus() == completed:
		return nil, runCompleted(r)
	case r.run.GetStatus() != running || r.run.GetLeaseEpoch() != epoch:
		return nil, refuse(errs.Aborted, operationsv1.RunReason_RUN_REASON_LEASE_LOST, id)
	}
	return r, nil
}

// wait blocks a BeginRun call whose run has begun, see [Store.HoldBegins].
func (s *Store) wait(ctx context.Context) {
	s.mu.Lock()
	held := s.begun
	s.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
}

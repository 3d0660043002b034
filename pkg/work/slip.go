package work

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

const schema = "river"

// slip is the whole of a dispatch slip. Every requeue raises the epoch, so that the
// slip of the next attempt is another one to River. The workspace and the tenant
// decide when it is its turn; they are 0 if an older version of this package, or of
// operations, did not say.
type slip struct {
	RunID       int64 `json:"run_id" river:"unique"`
	Epoch       int64 `json:"epoch" river:"unique"`
	WorkspaceID int64 `json:"workspace_id"`
	TenantID    int64 `json:"tenant_id"`
}

func (slip) Kind() string { return "run" }

// executor is the River worker of slips.
type executor struct {
	river.WorkerDefaults[slip]
	worker *Worker
}

// Work always tells River that the slip is done: what became of the run is in the
// store, and the sweep writes a new slip where one is needed.
func (e executor) Work(ctx context.Context, job *river.Job[slip]) error {
	defer e.worker.gate.Leave(job.ID)
	e.worker.execute(ctx, job.ID, job.Args)
	return nil
}

func (w *Worker) newRiver() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, executor{worker: w}); err != nil {
		return nil, err
	}
	driver := fairDriver{Driver: riverpgxv5.New(w.cfg.Pool), fetch: w.fetch}
	return river.NewClient[pgx.Tx](driver, &river.Config{
		ID:      fmt.Sprintf("%s_%d_%s", w.cfg.Service, os.Getpid(), rand.Text()),
		Schema:  schema,
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			// The gate counts the jobs at work. Those that wait come on top.
			w.cfg.Service: {MaxWorkers: w.cfg.Workers + w.cfg.MaxWaiting, FetchCooldown: 20 * time.Millisecond, FetchPollInterval: time.Second},
		},
		Logger:                      slog.New(warnings{w.cfg.Log.Handler()}),
		JobTimeout:                  -1,
		MaxAttempts:                 1,
		CompletedJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: time.Hour,
		// A slip lives as long as its job. River would take a long job for a stuck one.
		RescueStuckJobsAfter: 24 * time.Hour,
		// The app role does not own the tables, so it cannot reindex them.
		ReindexerIndexNames: []string{},
	})
}

// warnings is a log handler that passes on warnings and errors only. River's other
// messages are of no use to an operator.
type warnings struct{ slog.Handler }

func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{h.Handler.WithAttrs(attrs)}
}

func (h warnings) WithGroup(name string) slog.Handler {
	return warnings{h.Handler.WithGroup(name)}
}

// insert writes the slips that do not exist yet. An existing slip that can no longer
// begin its run, because its process died or operations was away, is replaced.
func (w *Worker) insert(ctx context.Context, wanted []slip) error {
	if len(wanted) == 0 {
		return nil // River takes an empty insert for a mistake
	}
	taken, err := w.tryInsert(ctx, wanted, time.Time{})
	if err != nil || len(taken) == 0 {
		return err
	}
	stale, err := w.freeStale(ctx, slices.Collect(maps.Keys(taken)))
	if err != nil || len(stale) == 0 {
		return err
	}
	again := make([]slip, 0, len(stale))
	for _, id := range stale {
		again = append(again, taken[id])
	}
	_, err = w.tryInsert(ctx, again, time.Time{})
	return err
}

// tryInsert inserts slips. It returns those that River refused because a slip of the
// same run and epoch exists, by the id of the existing River job. The slips wait from the
// given time on; the zero time is now.
func (w *Worker) tryInsert(ctx context.Context, wanted []slip, from time.Time) (map[int64]slip, error) {
	params := make([]river.InsertManyParams, 0, len(wanted))
	for _, s := range wanted {
		params = append(params, river.InsertManyParams{Args: s, InsertOpts: &river.InsertOpts{
			Queue:       w.cfg.Service,
			ScheduledAt: from,
			UniqueOpts:  river.UniqueOpts{ByArgs: true, ByState: rivertype.JobStates()},
		}})
	}
	results, err := w.river.InsertMany(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("insert slips: %w", err)
	}
	taken := map[int64]slip{}
	for _, r := range results {
		if !r.UniqueSkippedAsDuplicate {
			continue
		}
		var s slip
		if err := json.Unmarshal(r.Job.EncodedArgs, &s); err != nil {
			return nil, fmt.Errorf("read slip %d: %w", r.Job.ID, err)
		}
		taken[r.Job.ID] = s
	}
	return taken, nil
}

// A run that is queued at the epoch of a slip was not begun by it. So a slip that
// ended is used up. One that is running is still trying to begin, unless its process
// has not spoken of it for long: then the process is gone. One that is scheduled later
// than any is was written by a process whose clock is wrong. Taking away the unique
// key makes room without touching a row that River may be working with.
const freeStale = `-- work.freeStale
	update river.river_job set unique_key = null
	where id = any($1) and (state in ('completed', 'cancelled', 'discarded')
		or state = 'running' and not (` + alive + `)
		or state = 'scheduled' and scheduled_at > now() + $3::interval)
	returning id`

func (w *Worker) freeStale(ctx context.Context, ids []int64) ([]int64, error) {
	rows, err := w.cfg.Pool.Query(ctx, freeStale, ids, seenWithin, longestWait)
	if err != nil {
		return nil, fmt.Errorf("free stale slips: %w", err)
	}
	stale, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("free stale slips: %w", err)
	}
	return stale, nil
}

// dispatch writes the slip of a run that waits for one. A lost slip is found by the
// sweep, so that failing to write it is nothing the caller needs to know.
func (w *Worker) dispatch(ctx context.Context, r *operationsv1.Run) {
	w.dispatchAfter(ctx, r, 0)
}

// dispatchAfter writes a slip that no process looks at before the wait is over. Another
// process may begin the run earlier if the slip is lost: the sweep's begins at once.
func (w *Worker) dispatchAfter(ctx context.Context, r *operationsv1.Run, wait time.Duration) {
	if r.GetStatus() != operationsv1.RunStatus_RUN_STATUS_QUEUED {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	slips := []slip{{RunID: r.GetId(), Epoch: r.GetLeaseEpoch(), WorkspaceID: r.GetWorkspaceId(), TenantID: r.GetTenantId()}}
	var err error
	if wait > 0 {
		err = w.insertAfter(ctx, slips, wait)
	} else {
		err = w.insert(ctx, slips)
	}
	if err != nil {
		w.cfg.Log.WarnContext(ctx, "slip not written, left to the sweep", "run_id", r.GetId(), "err", err)
	}
}

// The sweep may have written the slip already.
const postpone = `-- work.postpone
	update river.river_job set state = 'scheduled', scheduled_at = now() + $2::interval where id = any($1) and state = 'available'`

func (w *Worker) insertAfter(ctx context.Context, wanted []slip, wait time.Duration) error {
	taken, err := w.tryInsert(ctx, wanted, time.Now().Add(wait))
	if err != nil || len(taken) == 0 {
		return err
	}
	if _, err := w.cfg.Pool.Exec(ctx, postpone, slices.Collect(maps.Keys(taken)), wait); err != nil {
		return fmt.Errorf("postpone slips: %w", err)
	}
	return nil
}

// slips knows the slips being worked on, to end them all at a shutdown.
type slips struct {
	mu     sync.Mutex
	closed bool
	stop   map[int64]context.CancelCauseFunc
}

// enter returns a context for a slip that ends when the worker shuts down. ok is false
// if the worker is shutting down already.
func (s *slips) enter(ctx context.Context, id int64) (_ context.Context, _ context.CancelCauseFunc, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, stop := context.WithCancelCause(ctx)
	if s.closed {
		stop(ErrShutdown)
		return ctx, stop, false
	}
	s.stop[id] = stop
	return ctx, stop, true
}

// end stops the job of a slip, unless it has left.
func (s *slips) end(id int64, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop := s.stop[id]; stop != nil {
		stop(cause)
	}
}

func (s *slips) leave(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop[id](nil)
	delete(s.stop, id)
}

func (s *slips) close(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, stop := range s.stop {
		stop(cause)
	}
}

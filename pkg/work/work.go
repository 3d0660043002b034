// Package work is a worker's life with operation runs: StartRun, a dispatch slip
// in River, BeginRun, the job with heartbeats, CompleteRun. The run in the store
// of the operations service is the truth; a slip only wakes a worker, and may be
// lost or doubled at any time. It is not a job queue with an opinion on retries:
// what a job cannot wait out ends its run.
package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/work/collect"
	"github.com/tenantpilot/tenantpilot/pkg/work/fair"
)

// Why a job's context ended, as [context.Cause] tells it. Whatever the cause, the
// job must stop its side effects and return; if it did not finish its work it
// returns an error, which then is not held against the run.
var (
	// ErrLeaseLost says that the run is, or may soon be, somebody else's.
	ErrLeaseLost = errors.New("work: the lease of the run is lost")
	// ErrCancelRequested says that somebody wants the run to end; it ends cancelled.
	ErrCancelRequested = errors.New("work: cancellation of the run was requested")
	// ErrShutdown says that this process ends; the run goes back to the queue.
	ErrShutdown = errors.New("work: the worker is shutting down")
	// ErrPlaceNeeded says that the job only waits, and that too many jobs do; the run goes
	// back to the queue and begins again when its wait is over.
	ErrPlaceNeeded = errors.New("work: too many runs wait")
)

// Settings are what an operator may change of a worker.
type Settings struct {
	Workers   int           `env:"WORKERS" envDefault:"10"`   // jobs at work at once
	Heartbeat time.Duration `env:"HEARTBEAT" envDefault:"5s"` // between two heartbeats of a run
	Sweep     time.Duration `env:"SWEEP" envDefault:"10s"`    // between two looks for runs without a slip
	// WorkspaceShare is how many of the jobs at work may be of one workspace while
	// runs of others wait. 0 is half of Workers.
	WorkspaceShare int `env:"WORKSPACE_SHARE"`
	// MaxWaiting is how many jobs may wait for Graph's quota beside those at work,
	// each with what it has read in memory. Beyond it a run that waits goes back to the
	// queue. With 0 each does at once; -1 is twice Workers. See [Run.Waiting].
	MaxWaiting int `env:"MAX_WAITING" envDefault:"-1"`
}

func (s Settings) check() error {
	if s.WorkspaceShare < 0 || s.WorkspaceShare > s.Workers || s.MaxWaiting < -1 {
		return fmt.Errorf("work: the share of a workspace (%d) must be at most workers (%d), and waiting jobs (%d) at least -1",
			s.WorkspaceShare, s.Workers, s.MaxWaiting)
	}
	if s.Workers < 1 || s.Heartbeat <= 0 || s.Sweep <= 0 {
		return fmt.Errorf("work: workers (%d), heartbeat (%s) and sweep (%s) must be greater than zero", s.Workers, s.Heartbeat, s.Sweep)
	}
	return nil
}

// Config is what a worker is made of. Only StopTimeout may be left out.
type Config struct {
	Settings
	Service     string                   // the caller's name, also River's queue: "inventory"
	Pool        *pgxpool.Pool            // the service's own database, as its app role
	Operations  grpc.ClientConnInterface // to the run store; the worker collects its calls
	Log         *slog.Logger
	Jobs        map[string]Job // by run type
	StopTimeout time.Duration  // how long jobs may take to stop at a shutdown; 25 s
}

// Worker starts runs and works on them. Replicas of a service share one queue.
type Worker struct {
	cfg    Config
	runs   operationsv1.RunServiceClient
	types  []string
	host   string
	river  *river.Client[pgx.Tx]
	tracer trace.Tracer
	slips  slips
	gate   *fair.Gate
	fetch  *fetch
}

// New makes a worker that can [Worker.Start] runs at once, and works on them when
// told to [Worker.Run].
func New(cfg Config) (*Worker, error) {
	if cfg.Service == "" || cfg.Pool == nil || cfg.Operations == nil || cfg.Log == nil || len(cfg.Jobs) == 0 {
		return nil, errors.New("work: a worker needs a service, a pool, a connection to operations, a log and jobs")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.WorkspaceShare = cmp.Or(cfg.WorkspaceShare, max(1, cfg.Workers/2))
	if cfg.MaxWaiting == -1 {
		cfg.MaxWaiting = 2 * cfg.Workers
	}
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, 25*time.Second)
	w := &Worker{
		cfg:    cfg,
		runs:   collect.New(cfg.Operations),
		types:  types(cfg.Jobs),
		host:   hostname(),
		tracer: otel.Tracer("github.com/tenantpilot/tenantpilot/pkg/work"),
		slips:  slips{stop: map[int64]context.CancelCauseFunc{}},
	}
	w.gate = fair.NewGate(w.cfg.Workers, w.cfg.WorkspaceShare, w.cfg.MaxWaiting)
	w.fetch = newFetch(w.cfg, w.gate)
	var err error
	if w.river, err = w.newRiver(); err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	return w, nil
}

// Run works until ctx ends, and is called once. Then it takes no more slips, ends
// the contexts of jobs with [ErrShutdown] and waits for them; their runs are given
// back to the queue unless they finished anyway. A job that does not return within
// StopTimeout keeps its lease until it expires by itself, since it may still be
// writing; Run then returns an error and the process must end.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("work: start River: %w", err)
	}
	var loops sync.WaitGroup
	loops.Go(func() { w.sweep(ctx) })
	working, stopSaying := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaying()
	loops.Go(func() { w.fetch.say(working) })
	<-ctx.Done()
	w.fetch.close()
	// With a context that has ended this only begins the stop, so that the slips of
	// the runs given back are for the other replicas.
	_ = w.river.Stop(ctx)
	w.slips.close(ErrShutdown)
	err := w.stop(context.WithoutCancel(ctx))
	stopSaying() // the runs of jobs that did not stop are worked on until the process ends
	loops.Wait()
	return err
}

// stop waits for the jobs, then cuts short the calls of those that remain. The
// margin covers a job that returned at the last moment and has its run to give back.
func (w *Worker) stop(ctx context.Context) error {
	const margin = 3 * time.Second
	soft, cancel := context.WithTimeout(ctx, w.cfg.StopTimeout)
	defer cancel()
	if w.river.Stop(soft) == nil {
		return nil
	}
	hard, cancel := context.WithTimeout(ctx, margin)
	defer cancel()
	if err := w.river.StopAndCancel(hard); err != nil {
		return fmt.Errorf("work: jobs did not stop within %s: %w", w.cfg.StopTimeout, err)
	}
	return nil
}

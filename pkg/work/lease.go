package work

import (
	"context"
	"log/slog"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// progressEvery is how often at most changed counters are sent.
const progressEvery = time.Second

// lease is this worker's right to work on a run, and until when the worker may
// believe that it has it.
//
// The clocks of the store and of this process may be hours apart, so only differences
// between times of one clock count. The length of the lease is lease_expire_time less
// update_time of the run that BeginRun returned. If the first reply of BeginRun was
// lost, that difference also has the time between the two tries in it, so the time
// that beginning took is taken off. The length counts from when the call that granted
// or extended the lease was sent, by the process's monotonic clock: the store granted
// it later than that. A tenth is kept back for the job to stop in. Example: a lease of
// 20 s, sent for at 0 s, makes the job stop at 18 s; nobody else gets the run before 20 s.
type lease struct {
	runs     operationsv1.RunServiceClient
	log      *slog.Logger
	runID    int64
	epoch    int64
	length   time.Duration
	ends     time.Time
	every    time.Duration
	progress *progress
	stopJob  context.CancelCauseFunc
}

// newLease returns the lease of a run that BeginRun has just returned. sent is when it
// was sent for the first time.
func (w *Worker) newLease(r *operationsv1.Run, sent time.Time, stopJob context.CancelCauseFunc) *lease {
	length := r.GetLeaseExpireTime().AsTime().Sub(r.GetUpdateTime().AsTime()) - time.Since(sent)
	length -= length / 10
	return &lease{
		runs:     w.runs,
		log:      w.cfg.Log.With("run_id", r.GetId(), "lease_epoch", r.GetLeaseEpoch()),
		runID:    r.GetId(),
		epoch:    r.GetLeaseEpoch(),
		length:   length,
		ends:     sent.Add(length),
		every:    min(w.cfg.Heartbeat, length/3),
		progress: newProgress(r.GetSummaryCounts()),
		stopJob:  stopJob,
	}
}

// keep extends the lease until ctx ends, which is when the job has returned. It stops
// the job when the lease is lost or cancellation was asked for. After a cancel request
// it goes on extending, since the job needs the lease to complete its run.
func (l *lease) keep(ctx context.Context) {
	next := time.Now().Add(l.every)
	for l.rest(ctx, next) {
		sent := time.Now()
		cancelled, err := l.beat(ctx, sent)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && (notOurs(err) || !time.Now().Before(l.ends)):
			l.log.WarnContext(ctx, "lease lost", "err", err)
			l.stopJob(ErrLeaseLost)
			return
		case err != nil:
			next = earlier(time.Now().Add(l.every/5), l.ends)
			continue
		case cancelled:
			l.stopJob(ErrCancelRequested)
		}
		next = sent.Add(l.every)
	}
}

// rest waits for the next heartbeat, which new counters bring forward.
func (l *lease) rest(ctx context.Context, next time.Time) bool {
	changed := l.progress.changed
	soon := time.Now().Add(progressEvery)
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-changed:
			changed = nil
			timer.Reset(time.Until(earlier(soon, next)))
		}
	}
}

// beat sends one heartbeat and reports whether cancellation was asked for. It gives up
// when the lease ends, so that a call that hangs does not hide that.
func (l *lease) beat(ctx context.Context, sent time.Time) (cancelled bool, err error) {
	ctx, cancel := context.WithDeadline(ctx, l.ends)
	defer cancel()
	counts, version := l.progress.unsent()
	var resp *operationsv1.ReportProgressResponse
	err = try(ctx, func(ctx context.Context) (err error) {
		resp, err = l.runs.ReportProgress(ctx, &operationsv1.ReportProgressRequest{
			RunId: l.runID, LeaseEpoch: l.epoch, SummaryCounts: counts,
		})
		return err
	})
	if refused(err) {
		// The counters are at fault. The lease must not die of them.
		l.log.ErrorContext(ctx, "progress refused", "err", err)
	}
	if err == nil || refused(err) {
		l.progress.markSent(version)
	}
	if err == nil {
		l.ends = sent.Add(l.length)
	}
	return resp.GetCancelRequested(), err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

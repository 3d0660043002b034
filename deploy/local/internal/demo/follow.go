package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	poll     = 200 * time.Millisecond
	patience = 10 * time.Second // how long the API may be away
	lineGap  = 2 * time.Second  // between progress lines where they cannot overwrite each other
	barWidth = 24
)

// Follow shows the run's progress on out until it has completed. The API may be away
// for a while: a restart of a service does not fail the run.
func Follow(ctx context.Context, c Client, run Run, out *os.File) (Run, error) {
	return follow(ctx, c, run, out, patience)
}

func follow(ctx context.Context, c Client, run Run, out *os.File, patience time.Duration) (Run, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	show := shower(out)
	began := time.Now()
	for answered := began; ; {
		show(progress(run, time.Since(began)), run.Completed())
		if run.Completed() {
			return run, nil
		}
		select {
		case <-ctx.Done():
			return run, context.Cause(ctx)
		case <-tick.C:
		}
		next, err := c.GetRun(ctx, run.ID)
		switch {
		case err == nil:
			run, answered = next, time.Now()
		case !passing(err), ctx.Err() != nil, time.Since(answered) > patience:
			return run, err
		}
	}
}

// shower returns how to show a line of progress on out: on a terminal each
// overwrites the one before; elsewhere only some are printed, and the last.
func shower(out *os.File) func(line string, last bool) {
	if terminal(out) {
		return func(line string, last bool) {
			fmt.Fprintf(out, "\r\x1b[K%s", line)
			if last {
				fmt.Fprintln(out)
			}
		}
	}
	var shown time.Time
	return func(line string, last bool) {
		if last || time.Since(shown) >= lineGap {
			shown = time.Now()
			fmt.Fprintln(out, line)
		}
	}
}

func terminal(out *os.File) bool {
	info, err := out.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func progress(r Run, took time.Duration) string {
	status := word(r.Status, "RUN_STATUS_")
	done, total := int64(r.SummaryCounts["processed"]), int64(r.SummaryCounts["total"])
	line := fmt.Sprintf("run %d %-9s %5.1f s", r.ID, status, took.Seconds())
	switch {
	case total > 0:
		filled := int(min(done, total) * barWidth / total)
		return fmt.Sprintf("%s  [%s%s] %d of %d", line, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), done, total)
	case done > 0:
		return fmt.Sprintf("%s  %d read", line, done)
	}
	return line
}

// word returns an enum value for people: "running" for RUN_STATUS_RUNNING.
func word(value, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", " ")
}

package main

import (
	"context"
	"crypto/md5" //nolint:gosec // the seed makes trace ids with it
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// reading is one kind of call that only reads.
type reading struct {
	name    string
	promise bool // its time must not grow with the number of runs: lists with at most one filter, in the default order
	call    func(ctx context.Context, c operationsv1.RunReaderServiceClient) error
}

// readings returns the calls for a service with so many seeded runs. If a call matches a part
// of the runs, the part grows with their number.
func readings(rows int) []reading {
	var all []reading
	list := func(name string, req *operationsv1.ListRunsRequest) {
		req.WorkspaceId, req.PageSize = 1, 50
		promise := req.Filter == "" || req.OrderBy == "" && !strings.Contains(req.Filter, " AND ")
		all = append(all, reading{name, promise, func(ctx context.Context, c operationsv1.RunReaderServiceClient) error {
			resp, err := c.ListRuns(ctx, req)
			if err != nil {
				return err
			}
			return checkPage(req, resp)
		}})
	}
	list("list, newest first", &operationsv1.ListRunsRequest{})
	for _, order := range []string{"create_time", "complete_time desc", "complete_time"} {
		list("list, order by "+order, &operationsv1.ListRunsRequest{OrderBy: order})
	}
	for _, filter := range filters(rows) {
		list(filter, &operationsv1.ListRunsRequest{Filter: filter})
	}
	since := `start_time > "` + middleTime() + `"`
	list(since+" by create_time", &operationsv1.ListRunsRequest{Filter: since, OrderBy: "create_time"})
	all = append(all, reading{"the 20th page", true, nthPage(20)})
	summary := func(name string, bucket operationsv1.SummaryBucket) {
		all = append(all, reading{name, false, func(ctx context.Context, c operationsv1.RunReaderServiceClient) error {
			resp, err := c.SummarizeRuns(ctx, &operationsv1.SummarizeRunsRequest{WorkspaceId: 1, Bucket: bucket})
			if err == nil && (len(resp.Counts) == 0 || len(resp.Durations) == 0) {
				err = errors.New("nothing is counted, and there are runs")
			}
			return err
		}})
	}
	summary("counts and summary, 48 hours", operationsv1.SummaryBucket_SUMMARY_BUCKET_HOUR)
	summary("counts and summary, 48 days", operationsv1.SummaryBucket_SUMMARY_BUCKET_DAY)
	return all
}

// nobody are filters that match no seeded run.
var nobody = []string{`status = "running"`, `outcome = "cancelled"`}

// checkPage returns an error if a page is empty or short though more runs match. Such a page
// would be quick and wrong.
func checkPage(req *operationsv1.ListRunsRequest, resp *operationsv1.ListRunsResponse) error {
	switch got := len(resp.Runs); {
	case slices.Contains(nobody, req.Filter):
		if got > 0 || resp.NextPageToken != "" {
			return fmt.Errorf("%d runs, and none is seeded", got)
		}
	case got == 0:
		return errors.New("an empty page, and there are runs")
	case got < int(req.PageSize) && resp.NextPageToken != "":
		return fmt.Errorf("%d of %d runs, and it is not the last page", got, req.PageSize)
	}
	return nil
}

// filters returns every filter by itself, and a combination.
func filters(rows int) []string {
	middle := rows / 200 * 100 // the id of a run in the middle, which ends in 00
	at := middleTime()
	return []string{
		`status = "completed"`, `status = "running"`, `outcome = "succeeded"`, `outcome = "failed"`, `outcome = "cancelled"`,
		`type = "inventory_sync"`, `tenant_id = 7`, `user_id = 2`, `initiator_name = "Person 3"`,
		`create_time < "` + at + `"`, `start_time < "` + at + `"`, `complete_time < "` + at + `"`,
		`start_time > "` + at + `"`, `complete_time > "` + at + `"`,
		`has_failures = true`, `reason_code = "GRAPH_THROTTLED"`,
		`retry_of = ` + strconv.Itoa(middle+3), `parent_run_id = ` + strconv.Itoa(middle+1),
		fmt.Sprintf(`trace_id = "%x"`, md5.Sum([]byte(strconv.Itoa(middle+5)))), //nolint:gosec // see above
		`legacy.source = "sync_runs"`, `legacy.id = "` + strconv.Itoa(middle+1) + `"`,
		`context.selection_hash = "hash-8"`,
		`type = "inventory_sync" AND outcome = "failed"`,
	}
}

// middleTime returns the time in the middle of the seeded runs.
func middleTime() string { return time.Now().AddDate(0, 0, -45).UTC().Format(time.RFC3339) }

// nthPage returns a call for the n-th page. It fetches the token of that page once.
func nthPage(n int) func(context.Context, operationsv1.RunReaderServiceClient) error {
	token := ""
	return func(ctx context.Context, c operationsv1.RunReaderServiceClient) error {
		pages := 1
		if token == "" {
			pages = n
		}
		for at := token; pages > 0; pages-- {
			resp, err := c.ListRuns(ctx, &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 10, PageToken: at})
			switch {
			case err != nil:
				return err
			case len(resp.Runs) < 10:
				return fmt.Errorf("%d of 10 runs", len(resp.Runs))
			}
			token, at = at, resp.NextPageToken
		}
		return nil
	}
}

// read measures the readings at each number of runs, and compares the largest number with the
// smallest.
func (w *world) read(ctx context.Context, out io.Writer) error {
	if len(w.opts.lists) == 0 {
		return nil
	}
	found := map[string][]score{}
	for _, rows := range w.opts.lists {
		fmt.Fprintf(out, "\n%d runs, %d calls of each kind: milliseconds at the median and at 99 %%\n", rows, w.opts.reads)
		if err := w.readAt(ctx, out, rows, found); err != nil {
			return fmt.Errorf("at %d runs: %w", rows, err)
		}
	}
	var growth, slowest float64
	for _, s := range found {
		growth, slowest = max(growth, p50(s[len(s)-1])/p50(s[0])), max(slowest, p99(s[len(s)-1]))
	}
	first, last := slices.Min(w.opts.lists), slices.Max(w.opts.lists)
	fmt.Fprintf(out, "\nlists by one filter at most: largest growth of a median from %d to %d runs: %.2f  %s\n", first, last, growth, goal{limit: 2}.verdict(growth))
	fmt.Fprintf(out, "lists by one filter at most: slowest p99 at %d runs: %.1f ms  %s\n", last, slowest, goal{limit: 20}.verdict(slowest))
	return nil
}

func (w *world) readAt(ctx context.Context, out io.Writer, rows int, found map[string][]score) (err error) {
	t := &turn{world: w, database: "runs_" + strconv.Itoa(rows)}
	if err := w.runsDatabase(ctx, t.database, rows); err != nil {
		return err
	}
	svc, err := t.serve(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	conn, err := t.dial(svc.address, operator)
	if err != nil {
		return err
	}
	defer conn.Close()
	reader := operationsv1.NewRunReaderServiceClient(conn)
	for i, r := range readings(rows) {
		s, err := w.repeat(ctx, reader, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if r.promise {
			place := fmt.Sprint(i) // filters name different rows at different sizes
			found[place] = append(found[place], s)
		}
		fmt.Fprintf(out, "  %-52s %8.2f %8.2f\n", r.name, p50(s), p99(s))
	}
	return nil
}

// repeat makes the calls of one kind, after some that are not measured.
func (w *world) repeat(ctx context.Context, c operationsv1.RunReaderServiceClient, r reading) (s score, err error) {
	for n := range w.opts.reads + w.opts.reads/warmUp {
		begin := time.Now()
		if err := r.call(ctx, c); err != nil {
			return s, err
		}
		if n >= w.opts.reads/warmUp {
			s.times = append(s.times, time.Since(begin))
		}
	}
	slices.Sort(s.times)
	return s, nil
}

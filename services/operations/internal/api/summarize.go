package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
)

const (
	defaultBuckets = 48
	maxBuckets     = 1000
	topReasons     = 20
)

func (r *reader) SummarizeRuns(ctx context.Context, req *operationsv1.SummarizeRunsRequest) (*operationsv1.SummarizeRunsResponse, error) {
	scope, err := r.summaryScope(req, time.Now())
	if err != nil {
		return nil, err
	}
	sum, err := r.statistics.Summarize(ctx, scope)
	if err != nil {
		return nil, err
	}
	return summaryProto(sum), nil
}

// summaryScope returns the scope of a valid request, widened to full buckets.
func (r *reader) summaryScope(req *operationsv1.SummarizeRunsRequest, now time.Time) (statistics.Scope, error) {
	s := statistics.Scope{WorkspaceID: req.WorkspaceId, Grain: "hour", Types: req.Types, Until: now}
	bucket := time.Hour
	if req.Bucket == operationsv1.SummaryBucket_SUMMARY_BUCKET_DAY {
		s.Grain, bucket = "day", 24*time.Hour
	}
	for _, name := range req.Types {
		if _, err := r.types.Get(name); err != nil {
			return s, errs.Invalid("types", "%q is not a run type; ListRunTypes has the names", name)
		}
	}
	if err := setTime(&s.Until, "end_time", req.EndTime); err != nil {
		return s, err
	}
	s.Until = s.Until.UTC().Add(bucket - 1).Truncate(bucket) // days of UTC are multiples of 24 h
	s.From = s.Until.Add(-defaultBuckets * bucket)
	if err := setTime(&s.From, "start_time", req.StartTime); err != nil {
		return s, err
	}
	if req.StartTime != nil && req.EndTime != nil && req.EndTime.AsTime().Before(req.StartTime.AsTime()) {
		return s, errs.Invalid("end_time", "is before start_time")
	}
	s.From = s.From.UTC().Truncate(bucket)
	switch buckets := s.Until.Sub(s.From) / bucket; {
	case buckets < 0:
		return s, errs.Invalid("start_time", "is after the end")
	case buckets > maxBuckets:
		return s, errs.Invalid("start_time", "spans more than %d buckets; use days, or a shorter time", maxBuckets)
	}
	return s, nil
}

// setTime sets to from a field, if the field is set. The time must be one that PostgreSQL
// can store.
func setTime(to *time.Time, field string, from *timestamppb.Timestamp) error {
	if from == nil {
		return nil
	}
	if err := from.CheckValid(); err != nil {
		return errs.Invalid(field, "is not a time between the years 1 and 9999")
	}
	*to = from.AsTime()
	return nil
}

func summaryProto(sum *statistics.Summary) *operationsv1.SummarizeRunsResponse {
	resp := &operationsv1.SummarizeRunsResponse{ActiveTruncated: sum.ActiveTruncated, OldestActiveCreateTime: stamp(sum.OldestActive)}
	for _, c := range sum.Counts {
		resp.Counts = append(resp.Counts, &operationsv1.RunCount{
			BucketStartTime: timestamppb.New(c.StartAt), Type: c.Type, Outcome: outcomeProto(c.Outcome), Count: c.Runs,
		})
	}
	for _, typ := range slices.Sorted(maps.Keys(sum.Durations)) {
		d := sum.Durations[typ]
		resp.Durations = append(resp.Durations, &operationsv1.RunDurations{
			Type: typ, Count: d.Count(), P50: durationpb.New(d.Quantile(0.5)), P95: durationpb.New(d.Quantile(0.95)),
		})
	}
	for _, a := range sum.Active {
		resp.Active = append(resp.Active, &operationsv1.ActiveCount{Type: a.Type, Status: statuses[a.Status], Count: a.Runs})
	}
	for _, c := range sum.Reasons[:min(topReasons, len(sum.Reasons))] {
		reason, other := reasonProto(c.Word)
		resp.TopReasons = append(resp.TopReasons, &operationsv1.ReasonCount{Reason: reason, OtherReason: other, Count: c.Runs})
	}
	return resp
}

func (r *reader) GetRetention(ctx context.Context, _ *operationsv1.GetRetentionRequest) (*operationsv1.GetRetentionResponse, error) {
	done, err := r.retention.Status(ctx)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.GetRetentionResponse{}
	for _, d := range done {
		s := &operationsv1.RetentionStatus{
			Type: d.Type, LastPassTime: timestamppb.New(d.LastPassAt), LastRemovedCount: d.LastRemoved, RemovedCount: d.Removed, LastError: d.LastError,
		}
		if d.LastPassTook != nil {
			s.LastPassDuration = durationpb.New(*d.LastPassTook)
		}
		resp.Types = append(resp.Types, s)
	}
	return resp, nil
}

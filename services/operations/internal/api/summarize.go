package api

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func (r *reader) SummarizeRuns(context.Context, *operationsv1.SummarizeRunsRequest) (*operationsv1.SummarizeRunsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

func (r *reader) GetRetention(context.Context, *operationsv1.GetRetentionRequest) (*operationsv1.GetRetentionResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

package api

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func (w *writer) BatchStartRuns(context.Context, *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

func (w *writer) BatchReportProgress(context.Context, *operationsv1.BatchReportProgressRequest) (*operationsv1.BatchReportProgressResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

func (w *writer) BatchCompleteRuns(context.Context, *operationsv1.BatchCompleteRunsRequest) (*operationsv1.BatchCompleteRunsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

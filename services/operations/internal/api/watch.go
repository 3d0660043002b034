package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func (r *reader) WatchRuns(*operationsv1.WatchRunsRequest, grpc.ServerStreamingServer[operationsv1.WatchRunsResponse]) error {
	return status.Error(codes.Unimplemented, "")
}

func (r *reader) WaitRun(context.Context, *operationsv1.WaitRunRequest) (*operationsv1.WaitRunResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

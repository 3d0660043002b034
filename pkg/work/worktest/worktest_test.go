package worktest_test

import (
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestStore(t *testing.T) {
	t.Parallel()
	worktest.Exercise(t, func(t *testing.T) worktest.Subject {
		store := worktest.New(worktest.Options{PageSize: 2})
		conn := rpctest.Serve(t, "operations", store.Register).Dial(t, "inventory")
		return worktest.Subject{
			Runs: operationsv1.NewRunServiceClient(conn), Reader: operationsv1.NewRunReaderServiceClient(conn),
			Expire: func(*testing.T, int64) { store.Expire() },
			Reap:   func(*testing.T) { store.Reap() },
		}
	})
}

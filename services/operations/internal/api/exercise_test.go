package api_test

import (
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"
)

// The run store in memory that other services test with keeps the same rules as
// this one.
func TestOperationsAndItsFakeKeepTheSameRules(t *testing.T) {
	t.Parallel()
	worktest.Exercise(t, func(t *testing.T) worktest.Subject {
		w := setup(t)
		return worktest.Subject{
			Runs: w.runs, Reader: w.reader, Expire: w.expire,
			Reap: func(t *testing.T) { w.reap(t) },
		}
	})
}

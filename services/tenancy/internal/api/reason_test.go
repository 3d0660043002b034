package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestReasonsOfRefusalsAreOfTheEnum(t *testing.T) {
	t.Parallel()
	for reason, file := range rpctest.Reasons(t, "..") {
		_, ok := errs.FromWord[tenancyv1.TenancyReason](reason)
		require.True(t, ok, "%s: TenancyReason has no %s", file, reason)
	}
}

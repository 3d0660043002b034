package tenant_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
)

func TestChange(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name, domain, etag string
		moved              bool
		reason             string
	}{
		"nothing":           {"", "", "", false, ""},
		"the same":          {"Fabrikam", "fabrikam.example", "r3", false, ""},
		"name":              {"Other", "", "", true, ""},
		"domain, as read":   {"", "other.example", "r3", true, ""},
		"read before":       {"Other", "", "r2", false, "ETAG_MISMATCH"},
		"nothing, but late": {"", "", "r2", false, "ETAG_MISMATCH"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := tenant.Tenant{DisplayName: "Fabrikam", PrimaryDomain: "fabrikam.example", Revision: 3}
			moved, err := one.Change(test.name, test.domain, test.etag)
			require.Equal(t, test.reason, errs.Reason(err))
			require.Equal(t, test.moved, moved)
		})
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	got, err := tenant.Directory("9A1F6C1E-5A3B-4C57-8D7E-0F2B4C6D8E90")
	require.NoError(t, err)
	require.Equal(t, "9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90", got)
	for _, bad := range []string{"", "contoso.onmicrosoft.com", got + "0", got[1:], "{" + got + "}", strings.ReplaceAll(got, "-", ""), got + "\n"} {
		_, err := tenant.Directory(bad)
		require.Equal(t, "INVALID_FIELD", errs.Reason(err), "%q", bad)
	}
}

// The authority receives the secret: a cloud's hosts are fixed, and its own.
func TestHosts(t *testing.T) {
	t.Parallel()
	tests := map[tenant.Cloud]tenant.Hosts{
		tenant.Global:   {Authority: "https://login.microsoftonline.com", Graph: "https://graph.microsoft.com"},
		tenant.USGov:    {Authority: "https://login.microsoftonline.us", Graph: "https://graph.microsoft.us"},
		tenant.USGovDoD: {Authority: "https://login.microsoftonline.us", Graph: "https://dod-graph.microsoft.us"},
		tenant.China:    {Authority: "https://login.chinacloudapi.cn", Graph: "https://microsoftgraph.chinacloudapi.cn"},
		"moon":          {},
	}
	for cloud, want := range tests {
		require.Equal(t, want, cloud.Hosts(), "%s", cloud)
	}
}

func TestBindingIsOfOneRow(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, tenant.Binding(1, 23), tenant.Binding(12, 3))
	require.NotEqual(t, tenant.Binding(1, 2), tenant.Binding(2, 1))
}

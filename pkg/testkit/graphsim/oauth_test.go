package graphsim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

func (w *world) credential(secret string) *azidentity.ClientSecretCredential {
	w.t.Helper()
	cred, err := azidentity.NewClientSecretCredential(tenantID, clientID, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: w.url}, Transport: w.http},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return cred
}

func TestAzidentitySignsIn(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{TokenLife: 10 * time.Minute})
	ask := policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}}
	token, err := w.credential(secret).GetToken(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.ExpiresOn); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("token lives %s", left)
	}
	w.token = token.Token
	w.get(policies)
	if _, err := w.credential("wrong").GetToken(t.Context(), ask); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("wrong secret: %v", err)
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{})
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {secret}, "scope": {"https://graph.microsoft.com/.default"}}
	tests := map[string]struct {
		tenant, key, value string
		status             int
		kind, code         string
	}{
		"wrong secret":   {tenantID, "client_secret", "nope", 401, "invalid_client", "AADSTS7000215:"},
		"wrong client":   {tenantID, "client_id", "nope", 400, "unauthorized_client", "AADSTS700016:"},
		"unknown tenant": {"99999999-0000-0000-0000-000000000000", "client_id", clientID, 400, "invalid_tenant", "AADSTS90002:"},
		"wrong grant":    {tenantID, "grant_type", "password", 400, "unsupported_grant_type", "AADSTS70003:"},
		"named scope":    {tenantID, "scope", "Group.Read.All", 400, "invalid_scope", "AADSTS1002012:"},
	}
	for name, tt := range tests {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(tt.key, tt.value)
		r := w.askToken(tt.tenant, form)
		if r.status != tt.status || r.str("error") != tt.kind || !strings.HasPrefix(r.str("error_description"), tt.code) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if strings.Contains(string(r.body), secret) {
			t.Errorf("%s: the answer repeats the secret", name)
		}
	}
}

func TestTokensExpireAndBelongToTheirTenant(t *testing.T) {
	t.Parallel()
	c := newClock()
	const other = "22222222-0000-4000-8000-000000000000"
	w := setup(t, graphsim.Config{Now: c.now, TokenLife: time.Minute, Tenants: []graphsim.TenantConfig{{Size: 20, Seed: 1}, {ID: other, Size: 20, Seed: 2}}})
	mine := w.get(policies).body
	w.token = w.tokenFor(other)
	if string(w.get(policies).body) == string(mine) {
		t.Error("the other tenant's token reads this tenant")
	}
	c.at = c.at.Add(time.Minute)
	for name, token := range map[string]string{"expired": w.token, "none": "", "nonsense": "abc", "forged": w.token + "x"} {
		w.token = token
		r := w.do(http.MethodGet, policies, "")
		if code, _ := r.graphError(); r.status != http.StatusUnauthorized || code != "InvalidAuthenticationToken" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

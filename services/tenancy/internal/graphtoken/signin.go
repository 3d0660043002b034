package graphtoken

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// trip is the library's HTTP client. It remembers why the last request got no
// response, because the error of the library may quote a response, and a response
// may hold a token.
type trip struct {
	client *http.Client
	err    error
}

func (t *trip) Do(r *http.Request) (*http.Response, error) {
	resp, err := t.client.Do(r)
	t.err = err
	return resp, err
}

// signIn asks the authority for a token. The library's credential is used once and
// dropped: only the desk remembers tokens, and no secret stays in memory.
func (i *Issuer) signIn(ctx context.Context, c Connection) (Token, error) {
	t := &trip{client: i.client}
	cred, err := azidentity.NewClientSecretCredential(c.DirectoryID, c.ClientID, c.Secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.Hosts.Authority},
			Transport: t,
			Retry:     policy.RetryOptions{MaxRetries: 1, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second},
		},
		// Microsoft does not know the authority of a simulator.
		DisableInstanceDiscovery: i.cfg.AuthorityOverride != "",
	})
	if err != nil {
		return Token{}, fmt.Errorf("credential of tenant %d: its directory or client id is not usable", c.TenantID)
	}
	got, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{c.Hosts.Graph + "/.default"}})
	if err != nil {
		return Token{}, explain(err, t.err)
	}
	if tid := directoryOf(got.Token); tid != "" && !strings.EqualFold(tid, c.DirectoryID) {
		return Token{}, refused("DIRECTORY_MISMATCH", "check the tenant's directory id: the token came from another directory")
	}
	return Token{Value: got.Token, ExpiresAt: got.ExpiresOn}, nil
}

// explain decides whether an error is a refusal, which a person must do something
// about, or whether the authority is not available just now.
func explain(err, lost error) error {
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok || failed.RawResponse == nil {
		return unreachable(lost)
	}
	status := failed.RawResponse.StatusCode
	code, transient := readRefusal(failed.RawResponse)
	if code == "" || transient || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError {
		return unreachable(fmt.Errorf("the authority answered HTTP %d %s", status, code))
	}
	return refused(code, remedy(code))
}

func unreachable(cause error) error {
	if cause == nil {
		cause = errors.New("no usable answer")
	}
	return errs.Unavailable("AUTHORITY_UNAVAILABLE", "the tenant's sign-in service cannot be reached just now").Wrap(cause)
}

// refused returns the error for a sign-in that fails until a person changes something.
func refused(code, remediation string) error {
	return errs.Conflict(tenantAuth, "Entra refused the tenant's credential (%s)", code).
		With("code", code).With("remediation", remediation)
}

// readRefusal returns the authority's error number. It keeps nothing else of the
// response.
func readRefusal(resp *http.Response) (code string, transient bool) {
	body, err := runtime.Payload(resp)
	if err != nil {
		return "", false
	}
	var answer struct {
		Error string `json:"error"`
		Codes []int  `json:"error_codes"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Codes) == 0 {
		return "", false
	}
	return fmt.Sprintf("AADSTS%d", answer.Codes[0]), answer.Error == "temporarily_unavailable"
}

// directoryOf returns the tid claim of a token, and "" if the token is no JWT.
func directoryOf(token string) string {
	part := strings.Split(token, ".")
	if len(part) != 3 {
		return ""
	}
	body, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Directory string `json:"tid"`
	}
	_ = json.Unmarshal(body, &claims) // not JSON: nothing to compare
	return claims.Directory
}

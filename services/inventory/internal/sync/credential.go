package sync

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

// credential is a tenant's access tokens, as tenancy issues them. It never sees
// the secret behind them.
type credential struct {
	tokens                tenancyv1.GraphTokenServiceClient
	workspaceID, tenantID int64

	mu          sync.Mutex
	issued      *tenancyv1.IssueGraphTokenResponse // not yet handed to the client
	remediation string                             // of the last refusal
}

// first fetches a token and answers where Graph is.
func (c *credential) first(ctx context.Context) (address string, err error) {
	resp, err := c.issue(ctx, false)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued = resp
	return resp.GetGraphUrl(), nil
}

// Token is [graph.Credential].
func (c *credential) Token(ctx context.Context, force bool) (graph.Token, error) {
	if resp := c.take(); resp != nil && !force {
		return token(resp), nil
	}
	resp, err := c.issue(ctx, force)
	if err != nil {
		return graph.Token{}, err
	}
	return token(resp), nil
}

func (c *credential) take() *tenancyv1.IssueGraphTokenResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	resp := c.issued
	c.issued = nil
	return resp
}

func token(resp *tenancyv1.IssueGraphTokenResponse) graph.Token {
	return graph.Token{Value: resp.GetAccessToken(), ExpiresAt: resp.GetExpireTime().AsTime()}
}

// issue asks tenancy, and waits for it where it is away for a while. A tenant
// that refuses us is an error of graph's.
func (c *credential) issue(ctx context.Context, force bool) (resp *tenancyv1.IssueGraphTokenResponse, err error) {
	err = patiently(ctx, unavailable, func() error {
		resp, err = c.tokens.IssueGraphToken(ctx, &tenancyv1.IssueGraphTokenRequest{
			WorkspaceId: c.workspaceID, TenantId: c.tenantID, ForceRefresh: force,
		})
		return err
	})
	if e, ok := errs.As(err); ok && e.Code() == codes.FailedPrecondition {
		c.mu.Lock()
		defer c.mu.Unlock()
		about := e.Metadata()
		c.remediation = about["remediation"]
		return nil, graph.TenantAuth(cmp.Or(about["code"], e.Reason()), e.Message())
	}
	return resp, err
}

// failure is err as what a run ends with, nil if err is none of the tenant's.
func (c *credential) failure(err error) error {
	var refused *graph.Error
	switch {
	case errors.As(err, &refused):
		return c.refused(refused)
	case errs.Code(err) == codes.NotFound:
		return work.Fail(operationsv1.FailureReason_FAILURE_REASON_VALIDATION, "the tenant no longer exists")
	case unavailable(err):
		f := work.Fail(operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY, "No access token could be had: the tenancy service is not available.")
		f.Retryable, f.Cause = true, err
		return f
	}
	return err
}

// refused is what a run ends with whose tenant does not let us in.
func (c *credential) refused(e *graph.Error) *work.Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := work.Fail(work.Reason(graph.ReasonCode(e)), "%s", e.Message)
	f.Code, f.RequestID, f.Cause, f.Remediation = e.Code, e.RequestID, e, c.remediation
	if f.Remediation == "" {
		f.Remediation = graph.Remediation(e)
	}
	return f
}

func unavailable(err error) bool {
	code := errs.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

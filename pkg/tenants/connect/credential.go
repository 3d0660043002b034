package connect

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

// Credential gets the access tokens of a tenant from tenancy. It is a
// [graph.Credential].
type Credential struct {
	tokens                tenancyv1.GraphTokenServiceClient
	workspaceID, tenantID int64

	mu          sync.Mutex
	issued      *tenancyv1.IssueGraphTokenResponse // a token that Token has not returned yet
	remediation string                             // what tenancy advised when it last refused
}

// first gets a token and returns the address of Graph.
func (c *Credential) first(ctx context.Context) (address string, err error) {
	resp, err := c.issue(ctx, false)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued = resp
	return resp.GetGraphUrl(), nil
}

// Token returns an access token; with force it is a new one.
func (c *Credential) Token(ctx context.Context, force bool) (graph.Token, error) {
	if resp := c.take(); resp != nil && !force {
		return token(resp), nil
	}
	resp, err := c.issue(ctx, force)
	if err != nil {
		return graph.Token{}, err
	}
	return token(resp), nil
}

func (c *Credential) take() *tenancyv1.IssueGraphTokenResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	resp := c.issued
	c.issued = nil
	return resp
}

func token(resp *tenancyv1.IssueGraphTokenResponse) graph.Token {
	return graph.Token{Value: resp.GetAccessToken(), ExpiresAt: resp.GetExpireTime().AsTime()}
}

// issue asks tenancy for a token, and waits while tenancy is not available. If
// the tenant refuses us, the error is a [graph.Error].
func (c *Credential) issue(ctx context.Context, force bool) (resp *tenancyv1.IssueGraphTokenResponse, err error) {
	err = work.Patiently(ctx, unavailable, func() error {
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

// failure turns err into what a run fails with, if the tenant or tenancy is why.
func (c *Credential) failure(err error) error {
	var refused *graph.Error
	switch {
	case errors.As(err, &refused):
		return c.Refused(refused)
	case errs.Code(err) == codes.NotFound:
		return work.Fail(work.Reason("validation"), "the tenant no longer exists")
	case unavailable(err):
		f := work.Fail(work.Reason("dependency"), "No access token could be had: the tenancy service is not available.")
		f.Retryable, f.Cause = true, err
		return f
	}
	return err
}

// Refused returns what a run fails with whose tenant does not let us in.
func (c *Credential) Refused(e *graph.Error) *work.Failure {
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

package console

import (
	"context"
	"slices"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// How many rows of a list a page shows, and how many a service is asked for at once.
const (
	mostTenants    = 2000
	mostWorkspaces = 2000
	mostEvents     = 1000
	pageSize       = 200
)

// upTo reads a list from the page of token on, page by page, until it has most rows
// or the list ends. If rows are left, next is the token of the page after.
func upTo[T any](most int, token string, read func(token string) (rows []T, next string, err error)) (all []T, next string, err error) {
	for {
		rows, next, err := read(token)
		if err != nil {
			return nil, "", err
		}
		all = append(all, rows...)
		if next == "" || len(rows) == 0 || len(all) >= most {
			return all, next, nil
		}
		token = next
	}
}

// choices are things that people may choose by name, such as the tenants of a
// workspace, in the order that a page lists them in.
type choices struct {
	all []templates.Option
	cut bool // there are more than a page lists
}

func (c choices) options() []templates.Option { return slices.Clone(c.all) }

// label returns the name of value, or value itself if it is not among the choices.
func (c choices) label(value string) string {
	for _, o := range c.all {
		if o.Value == value {
			return o.Label
		}
	}
	return value
}

func (c *Console) tenantsOf(ctx context.Context, workspace int64) (choices, error) {
	all, next, err := upTo(mostTenants, "", func(token string) ([]*tenancyv1.Tenant, string, error) {
		page, err := c.tenants.ListTenants(ctx, &tenancyv1.ListTenantsRequest{WorkspaceId: workspace, PageSize: pageSize, PageToken: token})
		return page.GetTenants(), page.GetNextPageToken(), err
	})
	tenants := choices{cut: next != ""}
	for _, t := range all {
		tenants.all = append(tenants.all, templates.Option{Value: words.ID(t.GetId()), Label: t.GetDisplayName()})
	}
	return tenants, err
}

// typesOfRuns are the run types there are, with the labels that operations gives them.
func (c *Console) typesOfRuns(ctx context.Context) (choices, error) {
	list, err := c.runs.ListRunTypes(ctx, &operationsv1.ListRunTypesRequest{})
	var types choices
	for _, t := range list.GetRunTypes() {
		types.all = append(types.all, templates.Option{Value: t.GetType(), Label: t.GetLabel()})
	}
	return types, err
}

// workspacesOf are the workspaces of the user that ctx carries.
func (c *Console) workspacesOf(ctx context.Context) ([]templates.Workspace, error) {
	all, _, err := upTo(mostWorkspaces, "", func(token string) ([]*tenancyv1.Workspace, string, error) {
		page, err := c.workspaces.ListWorkspaces(ctx, &tenancyv1.ListWorkspacesRequest{PageSize: pageSize, PageToken: token})
		return page.GetWorkspaces(), page.GetNextPageToken(), err
	})
	workspaces := make([]templates.Workspace, len(all))
	for i, w := range all {
		workspaces[i] = templates.Workspace{ID: words.ID(w.GetId()), Name: w.GetDisplayName()}
	}
	return workspaces, err
}

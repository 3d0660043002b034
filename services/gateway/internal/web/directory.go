package web

import (
	"context"
	"slices"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

// How much of a list a page takes in, and how much a service gives at once.
const (
	mostTenants    = 2000
	mostWorkspaces = 2000
	mostEvents     = 1000
	pageSize       = 200
)

// upTo reads a list from the page of token on, to its end or to the page that
// brings it to most rows; next is where it goes on then.
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

// directory is names by id, in an order fit for a page.
type directory struct {
	names []templates.Option
	cut   bool // there are more than a page takes in
}

func (d directory) options() []templates.Option { return append([]templates.Option(nil), d.names...) }

func (d directory) has(value string) bool {
	return slices.ContainsFunc(d.names, func(o templates.Option) bool { return o.Value == value })
}

// name is what people call value: itself if nobody says.
func (d directory) name(value string) string {
	for _, o := range d.names {
		if o.Value == value {
			return o.Label
		}
	}
	return value
}

func (s *Site) tenants(ctx context.Context, workspace int64) (directory, error) {
	reader := tenancyv1.NewTenantReaderServiceClient(s.cfg.Tenancy)
	all, next, err := upTo(mostTenants, "", func(token string) ([]*tenancyv1.Tenant, string, error) {
		answer, err := reader.ListTenants(ctx, &tenancyv1.ListTenantsRequest{WorkspaceId: workspace, PageSize: pageSize, PageToken: token})
		return answer.GetTenants(), answer.GetNextPageToken(), err
	})
	d := directory{cut: next != ""}
	for _, t := range all {
		d.names = append(d.names, templates.Option{Value: id(t.GetId()), Label: t.GetDisplayName()})
	}
	return d, err
}

func (s *Site) runTypes(ctx context.Context) (directory, error) {
	answer, err := operationsv1.NewRunReaderServiceClient(s.cfg.Operations).ListRunTypes(ctx, &operationsv1.ListRunTypesRequest{})
	var d directory
	for _, t := range answer.GetRunTypes() {
		d.names = append(d.names, templates.Option{Value: t.GetType(), Label: t.GetLabel()})
	}
	return d, err
}

// rooms are the workspaces of the caller under ctx.
func (s *Site) rooms(ctx context.Context) ([]templates.Room, error) {
	reader := tenancyv1.NewWorkspaceReaderServiceClient(s.cfg.Tenancy)
	all, _, err := upTo(mostWorkspaces, "", func(token string) ([]*tenancyv1.Workspace, string, error) {
		answer, err := reader.ListWorkspaces(ctx, &tenancyv1.ListWorkspacesRequest{PageSize: pageSize, PageToken: token})
		return answer.GetWorkspaces(), answer.GetNextPageToken(), err
	})
	rooms := make([]templates.Room, len(all))
	for i, w := range all {
		rooms[i] = templates.Room{ID: id(w.GetId()), Name: w.GetDisplayName()}
	}
	return rooms, err
}

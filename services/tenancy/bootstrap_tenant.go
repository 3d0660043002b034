package tenancy

import (
	"context"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
)

func (f founding) tenant(ctx context.Context, workspaceID int64) error {
	directory, err := tenant.Directory(f.DirectoryID)
	if err != nil {
		return err
	}
	t, err := f.store.TenantOf(ctx, workspaceID, directory)
	switch {
	case errs.Code(err) == codes.NotFound:
		return f.createTenant(ctx, workspaceID, directory)
	case err != nil:
		return err
	case f.ClientID == "":
		return nil
	}
	return f.connect(ctx, t)
}

func (f founding) createTenant(ctx context.Context, workspaceID int64, directory string) error {
	id, err := f.store.NextTenantID(ctx)
	if err != nil {
		return err
	}
	var credential *tenant.Credential
	if f.ClientID != "" {
		secret, err := f.secret()
		if err != nil {
			return err
		}
		if credential, err = f.seal(secret, workspaceID, id); err != nil {
			return err
		}
	}
	_, err = f.store.CreateTenant(ctx, f.by, once.Request{}, tenant.Tenant{
		ID: id, WorkspaceID: workspaceID, DisplayName: f.TenantName, DirectoryID: directory, Cloud: tenant.Global,
	}, credential)
	if err != nil {
		return err
	}
	f.log.InfoContext(ctx, "tenant created", "workspace_id", workspaceID, "tenant_id", id)
	return nil
}

// connect sets the Graph connection of t, unless t has that connection already.
func (f founding) connect(ctx context.Context, t tenant.Tenant) error {
	secret, err := f.secret()
	if err != nil {
		return err
	}
	same, err := f.connected(ctx, t, secret)
	if err != nil || same {
		return err
	}
	credential, err := f.seal(secret, t.WorkspaceID, t.ID)
	if err != nil {
		return err
	}
	if _, err := f.store.SetConnection(ctx, f.by, t.WorkspaceID, t.ID, *credential); err != nil {
		return err
	}
	f.log.InfoContext(ctx, "graph connection set", "workspace_id", t.WorkspaceID, "tenant_id", t.ID)
	return nil
}

// connected reports whether t already signs in with the wanted client and
// secret. A stored secret that cannot be opened any more counts as another one.
func (f founding) connected(ctx context.Context, t tenant.Tenant, secret string) (bool, error) {
	if t.Connection == nil || t.Connection.ClientID != f.ClientID {
		return false, nil
	}
	has, err := f.store.Credential(ctx, t.WorkspaceID, t.ID)
	if err != nil {
		return false, err
	}
	old, err := f.box.Open(has.Sealed, tenant.Binding(t.WorkspaceID, t.ID))
	return err == nil && old == secret, nil
}

func (f founding) secret() (string, error) {
	text, err := os.ReadFile(f.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("client secret: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("client secret: %s is empty", f.ClientSecretFile)
	}
	return secret, nil
}

func (f founding) seal(secret string, workspaceID, tenantID int64) (*tenant.Credential, error) {
	sealed, err := f.box.Seal(secret, tenant.Binding(workspaceID, tenantID))
	if err != nil {
		return nil, err
	}
	return &tenant.Credential{ClientID: f.ClientID, Sealed: sealed}, nil
}

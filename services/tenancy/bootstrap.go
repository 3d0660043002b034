package tenancy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/seal"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// Bootstrap is what a new installation begins with: a workspace, its owner, an
// API token for the owner, and perhaps the first tenant.
type Bootstrap struct {
	Workspace, Owner string
	TokenFile        string // receives the token, readable by its owner only
	TenantName       string // empty makes no tenant
	DirectoryID      string
	ClientID         string // empty makes the tenant without a Graph connection
	ClientSecretFile string
}

func bootstrap(ctx context.Context, args []string, cfg Config, log *slog.Logger) error {
	b, err := ParseBootstrap(args)
	if err != nil {
		return err
	}
	return b.Run(ctx, cfg, log)
}

// ParseBootstrap reads the flags of the bootstrap command.
func ParseBootstrap(args []string) (Bootstrap, error) {
	var b Bootstrap
	f := flag.NewFlagSet("bootstrap", flag.ContinueOnError)
	f.StringVar(&b.Workspace, "workspace", "", "name of the first workspace")
	f.StringVar(&b.Owner, "owner", "", "name of its owner")
	f.StringVar(&b.TokenFile, "token-file", "", "file that receives the owner's API token")
	f.StringVar(&b.TenantName, "tenant-name", "", "name of the first tenant (none if empty)")
	f.StringVar(&b.DirectoryID, "tenant-directory-id", "", "its directory id, a GUID")
	f.StringVar(&b.ClientID, "client-id", "", "client id of its app registration")
	f.StringVar(&b.ClientSecretFile, "client-secret-file", "", "file with the app registration's secret")
	if err := f.Parse(args); err != nil {
		return b, err
	}
	if f.NArg() > 0 {
		return b, fmt.Errorf("bootstrap: %q is not a flag", f.Arg(0))
	}
	return b, b.check()
}

func (b Bootstrap) check() error {
	switch {
	case b.Workspace == "" || b.Owner == "" || b.TokenFile == "":
		return errors.New("bootstrap: -workspace, -owner and -token-file are required")
	case (b.TenantName == "") != (b.DirectoryID == ""):
		return errors.New("bootstrap: -tenant-name and -tenant-directory-id go together")
	case (b.ClientID == "") != (b.ClientSecretFile == ""):
		return errors.New("bootstrap: -client-id and -client-secret-file go together")
	case b.ClientID != "" && b.TenantName == "":
		return errors.New("bootstrap: -client-id needs a tenant")
	}
	return nil
}

// Run makes what is missing; a second run changes nothing. It works on the
// database itself, whether the service is running or not.
func (b Bootstrap) Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	box, err := cfg.box()
	if err != nil {
		return err
	}
	db, err := pg.Open(ctx, cfg.Database.URL, 2)
	if err != nil {
		return err
	}
	defer db.Close()
	s := founding{
		Bootstrap: b, store: store.New(db), box: box, log: log,
		by: workspace.By{Service: "bootstrap", Role: workspace.Owner},
	}
	return s.store.Alone(ctx, func() error { return s.run(ctx) })
}

// founding is one run of the bootstrap command.
type founding struct {
	Bootstrap
	store *store.Store
	box   *seal.Box
	log   *slog.Logger
	by    workspace.By
}

func (f founding) run(ctx context.Context) error {
	workspaceID, err := f.workspace(ctx)
	if err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	ownerID, err := f.owner(ctx, workspaceID)
	if err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	if f.TenantName != "" {
		if err := f.tenant(ctx, workspaceID); err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
	}
	if err := f.token(ctx, workspaceID, ownerID); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}

func (f founding) workspace(ctx context.Context) (int64, error) {
	w, err := f.store.WorkspaceNamed(ctx, f.Workspace)
	if errs.Code(err) != codes.NotFound {
		return w.ID, err
	}
	made, err := f.store.CreateWorkspace(ctx, f.by, once.Request{}, f.Workspace, workspace.User{DisplayName: f.Owner})
	if err != nil {
		return 0, err
	}
	f.log.InfoContext(ctx, "workspace created", "workspace_id", made.Workspace.ID, "user_id", made.Owner.ID)
	return made.Workspace.ID, nil
}

// owner returns the id of the owner with the wanted name, and makes that owner
// if there is none. An imported owner whom nobody has claimed does not count,
// though the name may be the same.
func (f founding) owner(ctx context.Context, workspaceID int64) (int64, error) {
	p := page.Page[int64]{Limit: 200}
	for {
		members, err := f.store.Members(ctx, workspaceID, p)
		if err != nil {
			return 0, err
		}
		for _, m := range members {
			if m.Role == workspace.Owner && m.DisplayName == f.Owner && m.Claimed() {
				return m.UserID, nil
			}
			p.After = m.UserID
		}
		if len(members) < p.Limit {
			break
		}
	}
	m, err := f.store.AddMember(ctx, f.by, once.Request{}, store.NewMember{
		WorkspaceID: workspaceID, User: workspace.User{DisplayName: f.Owner}, Role: workspace.Owner,
	})
	if err != nil {
		return 0, err
	}
	f.log.InfoContext(ctx, "owner added", "workspace_id", workspaceID, "user_id", m.UserID)
	return m.UserID, nil
}

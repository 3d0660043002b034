// Package tenancy is who is who: workspaces, members, API tokens, and Microsoft
// 365 tenants with their Graph connections. Only it sees a client secret; to
// others it hands out short-lived tokens. It calls no other service.
package tenancy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/api"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/graphtoken"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/seal"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
)

// Name is the service's name, in certificates and logs.
const Name = "tenancy"

// EnvPrefix is what its variables begin with.
const EnvPrefix = "TENANCY_"

// Config is what the service is told, by environment after [EnvPrefix].
type Config struct {
	Server   rpc.ServerConfig
	Database pg.Config
	// PageKey seals page tokens; 32 bytes, base64. Replicas share it.
	PageKey string `env:"PAGE_KEY"`
	// MasterKeyFile and MasterKey are the keys that seal client secrets, as a
	// file that others cannot read or as text: 32 bytes in base64, one a line,
	// the newest first. One of the two must be given.
	MasterKeyFile string `env:"MASTER_KEY_FILE"`
	MasterKey     string `env:"MASTER_KEY"`
	// AuthorityOverride and GraphOverride stand in for the hosts of every
	// national cloud: a simulator's. ExtraCA is a PEM file to trust for the authority.
	AuthorityOverride string `env:"AUTHORITY_OVERRIDE"`
	GraphOverride     string `env:"GRAPH_OVERRIDE"`
	ExtraCA           string `env:"EXTRA_CA"`
}

// Migrate brings the database to the schema this binary knows.
func Migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

// Run serves until ctx ends.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	box, err := cfg.box()
	if err != nil {
		return err
	}
	issuer, err := graphtoken.New(graphtoken.Config{
		AuthorityOverride: cfg.AuthorityOverride, GraphOverride: cfg.GraphOverride, ExtraCA: cfg.ExtraCA,
	})
	if err != nil {
		return err
	}
	defer issuer.Close()
	pages, err := page.FromConfig(cfg.PageKey, log)
	if err != nil {
		return fmt.Errorf("%sPAGE_KEY: %w", EnvPrefix, err)
	}
	db, err := pg.Open(ctx, cfg.Database.URL, cfg.Database.MaxConns)
	if err != nil {
		return err
	}
	defer db.Close()
	server, err := rpc.NewServer(Name, cfg.Server, log)
	if err != nil {
		return err
	}
	server.Metrics().MustRegister(pg.Metrics(db))
	st := store.New(db)
	face := &api.API{Store: st, Box: box, Graph: issuer, Pages: pages, Now: time.Now}
	face.Register(server.Registrar())
	return server.Serve(ctx, st.Ready)
}

func (c Config) box() (*seal.Box, error) {
	switch {
	case c.MasterKeyFile != "" && c.MasterKey != "":
		return nil, errors.New("both TENANCY_MASTER_KEY_FILE and TENANCY_MASTER_KEY are set: which is the master key?")
	case c.MasterKeyFile != "":
		return seal.Load(c.MasterKeyFile)
	case c.MasterKey != "":
		return seal.New(c.MasterKey)
	}
	return nil, errors.New("no master key: set TENANCY_MASTER_KEY_FILE to a file with 32 random bytes in base64 (openssl rand -base64 32)")
}

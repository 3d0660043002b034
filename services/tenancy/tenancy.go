// Package tenancy keeps workspaces, their members and API tokens, and Microsoft 365
// tenants with their Graph connections. Only tenancy sees a client secret; other
// services get short-lived tokens from it. It calls no service.
package tenancy

import (
	"errors"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/api"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/graphtoken"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/seal"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
)

// Name is the service's name.
const Name = "tenancy"

// Config is the service's settings.
type Config struct {
	service.Config
	// MasterKeyFile and MasterKey hold the keys that seal client secrets, as a
	// file that others cannot read or as text: 32 bytes in base64, one a line,
	// the newest first. One of the two must be set.
	MasterKeyFile string `env:"MASTER_KEY_FILE"`
	MasterKey     string `env:"MASTER_KEY"`
	// AuthorityOverride and GraphOverride replace the hosts of every national
	// cloud, by a simulator's. ExtraCA is a PEM file to trust for the authority.
	AuthorityOverride string `env:"AUTHORITY_OVERRIDE"`
	GraphOverride     string `env:"GRAPH_OVERRIDE"`
	ExtraCA           string `env:"EXTRA_CA"`
}

// Service is how tenancy is run.
var Service = service.Spec[Config]{
	Name: Name, Migrations: store.Migrations(), Wire: wire,
	Commands: map[string]service.Command[Config]{"bootstrap": bootstrap},
}

func wire(p *service.Process, cfg Config) error {
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
	p.Defer(issuer.Close)
	face := &api.API{Store: store.New(p.DB), Box: box, Graph: issuer, Pages: p.Pages, Now: time.Now}
	face.Register(p.Server.Registrar())
	return nil
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

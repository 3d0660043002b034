package service

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// Config is the settings that every service has. A service embeds it in its own
// settings. The default of a setting is written once, in its envDefault tag.
type Config struct {
	Server   rpc.ServerConfig
	Database pg.Config
	// PageKey seals page tokens: 32 bytes in base64, the same in all replicas.
	PageKey string `env:"PAGE_KEY"`
	// Targets are the addresses of the services that this one calls, by name. The
	// environment gives them as <PREFIX><CALLEE>_TARGET; see [Spec.Calls].
	Targets map[string]string
}

// configured is a struct that embeds Config.
type configured interface{ common() Config }

func (c Config) common() Config { return c }

func (c *Config) setTargets(targets map[string]string) { c.Targets = targets }

// EnvPrefix is what the service's environment variables begin with.
func (s Spec[C]) EnvPrefix() string { return strings.ToUpper(s.Name) + "_" }

// Load returns the settings that the environment gives.
func (s Spec[C]) Load() (C, error) {
	var cfg C
	addresses := make([]string, len(s.Calls))
	also := make([]obs.Variable, len(s.Calls))
	for i, callee := range s.Calls {
		also[i] = obs.Variable{Name: targetVariable(callee), Value: &addresses[i]}
	}
	if err := obs.LoadConfig(s.EnvPrefix(), &cfg, also...); err != nil {
		return cfg, err
	}
	targets := map[string]string{}
	for i, callee := range s.Calls {
		targets[callee] = addresses[i]
	}
	any(&cfg).(interface{ setTargets(map[string]string) }).setTargets(targets)
	return cfg, nil
}

// Defaults returns the settings of an empty environment: what a test that calls
// [Spec.Run] begins with, to change what it needs different.
func (s Spec[C]) Defaults() C {
	var cfg C
	if err := obs.Defaults(&cfg); err != nil {
		panic(err) // a tag is wrong
	}
	return cfg
}

func targetVariable(callee string) string { return strings.ToUpper(callee) + "_TARGET" }

// checkTargets fails unless targets names each service of s.Calls and no other.
func (s Spec[C]) checkTargets(targets map[string]string) error {
	for _, callee := range s.Calls {
		if targets[callee] == "" {
			return fmt.Errorf("%s%s is not set: it must be the address of %s", s.EnvPrefix(), targetVariable(callee), callee)
		}
	}
	for callee := range targets {
		if !slices.Contains(s.Calls, callee) {
			return fmt.Errorf("there is a target for %s, which %s does not call", callee, s.Name)
		}
	}
	return nil
}

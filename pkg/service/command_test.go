package service

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

type noteConfig struct {
	Config
	Greeting string `env:"GREETING" envDefault:"hello"`
}

// notes is a service that remembers the arguments and settings of its command.
func notes(args *[]string, cfg *noteConfig) Spec[noteConfig] {
	return Spec[noteConfig]{
		Name: "notes", Calls: []string{"operations", "tenancy"},
		Commands: map[string]Command[noteConfig]{
			"bootstrap": func(_ context.Context, got []string, c noteConfig, _ *slog.Logger) error {
				*args, *cfg = got, c
				return nil
			},
		},
	}
}

func TestACommandGetsItsArgumentsAndTheEnvironment(t *testing.T) {
	t.Setenv("NOTES_GREETING", "hi")
	t.Setenv("NOTES_LISTEN", "127.0.0.1:1")
	t.Setenv("NOTES_OPERATIONS_TARGET", "operations:7101")
	var args []string
	var cfg noteConfig
	require.NoError(t, notes(&args, &cfg).execute(t.Context(), []string{"bootstrap", "-n", "1"}, slog.New(slog.DiscardHandler)))
	require.Equal(t, []string{"-n", "1"}, args)
	require.Equal(t, "hi", cfg.Greeting)
	require.Equal(t, "127.0.0.1:1", cfg.Server.Listen)
	require.Equal(t, map[string]string{"operations": "operations:7101", "tenancy": ""}, cfg.Targets)
}

func TestUnknownCommandsAndVariablesAreRefused(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	err := notes(nil, nil).execute(t.Context(), []string{"server"}, log)
	require.EqualError(t, err, `unknown command "server": want one of serve (the default), migrate, bootstrap`)
	t.Setenv("NOTES_INVENTORY_TARGET", "x")
	err = notes(nil, nil).execute(t.Context(), []string{"bootstrap"}, log)
	require.ErrorContains(t, err, "unknown variable NOTES_INVENTORY_TARGET")
}

func TestDefaultsAreThoseOfTheTags(t *testing.T) {
	t.Setenv("NOTES_GREETING", "hi")
	cfg := notes(nil, nil).Defaults()
	require.Equal(t, "hello", cfg.Greeting)
	require.Equal(t, "1s", cfg.Server.DrainGrace.String())
}

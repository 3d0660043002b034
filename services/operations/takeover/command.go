package takeover

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/analyse"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/drop"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/repoint"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/rollback"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

// Command returns the tool's command line, with a command for each stage. A stage prints
// its report to standard output, and its progress to standard error.
func Command() *cobra.Command {
	root := &cobra.Command{
		Use:   "takeover",
		Short: "Moves an older TenantPilot's run tables into the canonical store, stage by stage",
		Long: "Stages, in order: analyse, adopt, backfill, verify, repoint, drop; rollback undoes them.\n" +
			"Each may be stopped at any instant and run again. docs/takeover.md says what each does and checks.\n\n" +
			"Environment variables name the databases and the certificate: " + ledger.EnvPrefix + "LEGACY_URL, " + ledger.EnvPrefix + "OPERATIONS_URL,\n" +
			ledger.EnvPrefix + "TENANCY_ADDRESS, " + ledger.EnvPrefix + "TLS_CERT, _TLS_KEY, _TLS_CA, and " + ledger.EnvPrefix + "REPORTS for the folder of reports.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	root.AddCommand(analyseCommand(), adoptCommand(), backfillCommand(), verifyCommand(), repointCommand(), dropCommand(), rollbackCommand(), fixtureCommand())
	return root
}

// config is the tool's environment, after [ledger.EnvPrefix].
type config struct {
	ledger.Config
	// TenancyAddress is where tenancy serves; only adopt calls it.
	TenancyAddress string `env:"TENANCY_ADDRESS"`
	Client         rpc.ClientConfig
	// RunTypes is the operations service's OPERATIONS_RUN_TYPES; only analyse reads it.
	RunTypes string `env:"RUN_TYPES"`
}

// opened is what a stage runs with.
type opened struct {
	*ledger.Ledger
	cfg config
}

// stage opens the takeover, runs do, and prints its report.
func stage(c *cobra.Command, do func(context.Context, opened) (*report.Report, error)) error {
	var cfg config
	if err := obs.LoadConfig(ledger.EnvPrefix, &cfg); err != nil {
		return err
	}
	l, err := ledger.Open(c.Context(), cfg.Config, c.ErrOrStderr(), slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := do(c.Context(), opened{Ledger: l, cfg: cfg})
	if r != nil {
		r.Print(c.OutOrStdout())
	}
	return err
}

// tenancy calls do with a client of tenancy, nil if its address is not set.
func (o opened) tenancy(do func(tenancyv1.ImportServiceClient) (*report.Report, error)) (*report.Report, error) {
	if o.cfg.TenancyAddress == "" {
		return do(nil)
	}
	conn, err := rpc.Dial(o.cfg.TenancyAddress, "tenancy", o.cfg.Client, o.Log)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return do(tenancyv1.NewImportServiceClient(conn))
}

func planFlag(c *cobra.Command, plan *bool) {
	c.Flags().BoolVar(plan, "plan", false, "show what would happen, and change nothing")
}

func analyseCommand() *cobra.Command {
	var o analyse.Options
	c := &cobra.Command{
		Use: "analyse", Args: cobra.NoArgs,
		Short: "Counts rows and links, reports what is wrong, and estimates how long the takeover will take",
		RunE: func(c *cobra.Command, _ []string) error {
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) {
				o.RunTypes = t.cfg.RunTypes
				return analyse.Run(ctx, t.Ledger, o)
			})
		},
	}
	planFlag(c, &o.Plan)
	return c
}

func adoptCommand() *cobra.Command {
	var o adopt.Options
	var types, workspaces, owners map[string]string
	c := &cobra.Command{
		Use: "adopt", Args: cobra.NoArgs,
		Short: "Takes over workspaces, tenants, users and the runs that are canonical already",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			o.TypeMap = types
			if o.WorkspaceMap, err = byID("workspace-map", workspaces); err != nil {
				return err
			}
			if o.Owners, err = byID("owner", owners); err != nil {
				return err
			}
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) {
				return t.tenancy(func(client tenancyv1.ImportServiceClient) (*report.Report, error) {
					return adopt.Run(ctx, t.Ledger, client, o)
				})
			})
		},
	}
	planFlag(c, &o.Plan)
	timezoneFlag(c, &o.Timezone)
	f := c.Flags()
	f.Int64Var(&o.IDOffset, "id-offset", 0, "added to the ids of runs if they are taken; the plan proposes a value")
	f.StringToStringVar(&types, "type-map", nil, "LEGACY=CANONICAL for an unknown type, or LEGACY=archive to leave its runs behind")
	f.StringToStringVar(&workspaces, "workspace-map", nil, "TENANT=WORKSPACE for a legacy tenant without a workspace: legacy ids, or the name of a new workspace")
	f.StringToStringVar(&owners, "owner", nil, "WORKSPACE=USER for a legacy workspace without an owner: legacy ids, or the name of a new user")
	return c
}

func timezoneFlag(c *cobra.Command, timezone *string) {
	c.Flags().StringVar(timezone, "legacy-timezone", "", "zone of legacy timestamps that have none, such as Europe/Berlin (default UTC; remembered)")
}

func byID(flag string, in map[string]string) (map[int64]string, error) {
	out := map[int64]string{}
	for key, value := range in {
		id, err := strconv.ParseInt(key, 10, 64)
		if err != nil || value == "" {
			return nil, fmt.Errorf("--%s %s=%s does not begin with a legacy id, as in 17=VALUE", flag, key, value)
		}
		out[id] = value
	}
	return out, nil
}

func backfillCommand() *cobra.Command {
	var o backfill.Options
	c := &cobra.Command{
		Use: "backfill", Args: cobra.NoArgs,
		Short: "Makes every row of the legacy run tables a run, or keeps only what is linked",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.History != "import" && o.History != "link" {
				return fmt.Errorf("choose --history=import, which makes rows without a run runs, or --history=link, which leaves them in the archive")
			}
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) { return backfill.Run(ctx, t.Ledger, o) })
		},
	}
	planFlag(c, &o.Plan)
	timezoneFlag(c, &o.Timezone)
	f := c.Flags()
	f.StringVar(&o.History, "history", "", "import or link; there is no default")
	f.DurationVar(&o.StaleAfter, "stale-after", 24*time.Hour, "an active row that nothing touched for longer becomes a failed run")
	f.BoolVar(&o.CutOver, "cut-over", false, "the older installation has stopped: end what is still active, and let live runs start")
	return c
}

func verifyCommand() *cobra.Command {
	var o verify.Options
	c := &cobra.Command{
		Use: "verify", Args: cobra.NoArgs,
		Short: "Proves that every row has exactly one run and that they agree; exit code 0 only then",
		RunE: func(c *cobra.Command, _ []string) error {
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) { return verify.Run(ctx, t.Ledger, o) })
		},
	}
	planFlag(c, &o.Plan)
	c.Flags().BoolVar(&o.All, "all", false, "compare every row field by field")
	c.Flags().IntVar(&o.Sample, "sample", 1000, "without --all, compare this many rows of each table")
	return c
}

func repointCommand() *cobra.Command {
	var o repoint.Options
	c := &cobra.Command{
		Use: "repoint", Args: cobra.NoArgs,
		Short: "Lets findings and inventory items refer to canonical runs",
		RunE: func(c *cobra.Command, _ []string) error {
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) { return repoint.Run(ctx, t.Ledger, o) })
		},
	}
	planFlag(c, &o.Plan)
	return c
}

func dropCommand() *cobra.Command {
	var o drop.Options
	c := &cobra.Command{
		Use: "drop", Args: cobra.NoArgs,
		Short: "Archives the legacy run tables, behind its gates",
		RunE: func(c *cobra.Command, _ []string) error {
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) { return drop.Run(ctx, t.Ledger, o) })
		},
	}
	planFlag(c, &o.Plan)
	c.Flags().StringVar(&o.Snapshot, "snapshot", "", "name of the snapshot of the legacy database that you have taken; required")
	c.Flags().Int64Var(&o.ArchiveUnlinked, "archive-unlinked", 0, "how many rows without a run go into the archive: exactly as many as exist")
	return c
}

func rollbackCommand() *cobra.Command {
	var o rollback.Options
	c := &cobra.Command{
		Use: "rollback", Args: cobra.NoArgs,
		Short: "Undoes a stage, after all later ones",
		RunE: func(c *cobra.Command, _ []string) error {
			return stage(c, func(ctx context.Context, t opened) (*report.Report, error) {
				return rollback.Run(ctx, t.Ledger, Undoing, o)
			})
		},
	}
	planFlag(c, &o.Plan)
	c.Flags().StringVar(&o.To, "to", "", "the stage to undo: drop, repoint, verify, backfill, adopt, or analyse (removes every trace); required")
	return c
}

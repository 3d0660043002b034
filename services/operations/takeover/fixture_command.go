package takeover

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

// fixtureCommand fills legacy databases for tests of the whole tool, and changes them as a
// working older installation does. It is no stage.
func fixtureCommand() *cobra.Command {
	var url, now string
	var working bool
	var o fixture.Options
	c := &cobra.Command{
		Use: "fixture", Hidden: true, Args: cobra.NoArgs,
		Short: "Fills an empty database like that of an older TenantPilot, for tests",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Now, err = time.Parse(time.RFC3339, now); err != nil {
				return fmt.Errorf("--now: %w", err)
			}
			return onLegacy(c.Context(), url, func(ctx context.Context, conn *pgx.Conn) error {
				if working {
					return work(ctx, conn, o.Now, c.InOrStdin())
				}
				if err := fixture.Create(ctx, conn); err != nil {
					return err
				}
				return fixture.Fill(ctx, conn, o)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&url, "url", "", "the database, as the role that will own its tables")
	f.StringVar(&now, "now", time.Now().UTC().Format(time.RFC3339), "the present that all times are relative to")
	f.BoolVar(&working, "work", false, "fill nothing; do one step of an older installation's work for each line of standard input")
	f.IntVar(&o.Rows, "rows", 0, "ordinary runs")
	f.IntVar(&o.Linked, "linked", 0, "how many per hundred of them have their canonical run")
	f.Int64Var(&o.Seed, "seed", 1, "a different number gives different rows of the same kinds")
	f.BoolVar(&o.Tidy, "tidy", false, "only ordinary rows")
	f.BoolVar(&o.Memberships, "memberships", false, "with the table of memberships")
	f.BoolVar(&o.UnknownType, "unknown-type", false, "with runs of an unknown type")
	f.BoolVar(&o.LooseTenants, "loose-tenants", false, "with tenants without a workspace")
	f.BoolVar(&o.BadTenants, "bad-tenants", false, "with tenants without a valid directory id")
	return c
}

func work(ctx context.Context, conn *pgx.Conn, now time.Time, cues io.Reader) error {
	lines := bufio.NewScanner(cues)
	for step := 1; lines.Scan(); step++ {
		if err := fixture.Work(ctx, conn, now, step); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return lines.Err()
}

func onLegacy(ctx context.Context, url string, do func(context.Context, *pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the connection is not needed any more
	return do(ctx, conn)
}

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/demo"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/fleet"
)

// runDemo syncs the demo tenant once, with the fleet that runs or with one that it starts.
func runDemo(ctx context.Context, source Source, out *os.File) error {
	began := time.Now()
	m, err := launch(ctx, source, out)
	if errors.Is(err, fleet.ErrHeld) {
		return joinDemo(ctx, m.root, source, out)
	}
	if err != nil {
		return err
	}
	err = syncOnce(ctx, m.state, source, out)
	fmt.Fprintf(out, "\n%.1f s in all. `make up` keeps the services running at these addresses:\n", time.Since(began).Seconds())
	m.addresses()
	return errors.Join(err, m.close())
}

// joinDemo uses the fleet that another launcher runs, if it has the same tenant.
func joinDemo(ctx context.Context, root string, source Source, out *os.File) error {
	s, err := fleet.ReadState(stateFile(root))
	if err != nil || !s.Alive() {
		return already(root)
	}
	if source.Asked && s.Source != source.String() {
		return fmt.Errorf("%w (process %d): its tenant is %s, not %s; end it first, or leave out LOAD, SIZE and SEED",
			ErrOther, s.PID, s.Source, source)
	}
	fmt.Fprintf(out, "using the services of process %d: %s\n", s.PID, s.Source)
	return syncOnce(ctx, s, source, out)
}

// syncOnce runs one sync to its end and prints what it did. It fails unless the sync succeeded.
func syncOnce(ctx context.Context, s fleet.State, source Source, out *os.File) error {
	if source.Load != "" {
		if err := printLoadReport(ctx, s, out); err != nil {
			return err
		}
	}
	client, err := apiClient(s)
	if err != nil {
		return err
	}
	run, err := client.StartSync(ctx, s.WorkspaceID, s.TenantID)
	if err != nil {
		return err
	}
	if run, err = demo.Follow(ctx, client, run, out); err != nil {
		return fmt.Errorf("follow run %d: %w", run.ID, err)
	}
	coverage, err := client.GetCoverage(ctx, s.WorkspaceID, s.TenantID, run.ID)
	if err != nil {
		return err
	}
	demo.Report(out, run, coverage)
	fmt.Fprintf(out, "\n  %s/operations/%d\n", s.Console, run.ID)
	if !run.Succeeded() {
		return fmt.Errorf("run %d did not succeed", run.ID)
	}
	return nil
}

// printLoadReport prints which files the simulator could not read, and why.
func printLoadReport(ctx context.Context, s fleet.State, out *os.File) error {
	client, err := trusting(s.Authority)
	if err != nil {
		return err
	}
	return demo.LoadReport(ctx, client, s.Simulator, out)
}

// Package local is the launcher behind `make up`, `make demo` and `make test`,
// and the one-shot steps of docker compose. It gives the services of one
// machine what they need to start; what they do it does not know.
package local

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// workspace is the first workspace's name.
const workspace = "Demo"

// ErrOther is the error of a command for which another fleet must end first.
var ErrOther = errors.New("another fleet is running")

const usage = `Usage:
  local up   [-load DIR | -size N -seed N]   run every service until Ctrl-C
  local demo [-load DIR | -size N -seed N]   run one sync to its end
  local test-postgres -- COMMAND…            run COMMAND with a throwaway PostgreSQL
  local keys -dir DIR                        make keys and certificates
  local databases -dir DIR                   make roles and databases on DATABASE_URL
`

// Main runs the command that args name and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, args, os.Stdout)
	if exit, ok := errors.AsType[exitCode](err); ok {
		return int(exit) // the command of test-postgres has printed why
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "local:", err)
	if errors.Is(err, ErrOther) || errors.Is(err, flag.ErrHelp) {
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, out *os.File) error {
	if len(args) == 0 {
		return fmt.Errorf("%w\n%s", flag.ErrHelp, usage)
	}
	rest := args[1:]
	switch args[0] {
	case "up":
		return withSource(rest, func(s Source) error { return up(ctx, s, out) })
	case "demo":
		return withSource(rest, func(s Source) error { return runDemo(ctx, s, out) })
	case "test-postgres":
		return testPostgres(ctx, rest, out)
	case "keys":
		return withDir(rest, func(dir string) error { return makeKeys(dir, out) })
	case "databases":
		return withDir(rest, func(dir string) error { return makeDatabases(ctx, dir, out) })
	}
	return fmt.Errorf("no command %q: %w\n%s", args[0], flag.ErrHelp, usage)
}

func withSource(args []string, do func(Source) error) error {
	var s Source
	flags := newFlags()
	flags.StringVar(&s.Load, "load", "", "folder of exported policy JSON to make the tenant of")
	flags.IntVar(&s.Size, "size", 60, "policies of the generated tenant")
	flags.IntVar(&s.Seed, "seed", 1, "seed of the generated tenant")
	if err := parse(flags, args); err != nil {
		return err
	}
	s.Asked = flags.NFlag() > 0
	if s.Load == "" {
		return do(s)
	}
	load, err := folder(s.Load)
	if err != nil {
		return fmt.Errorf("-load %s: %w", s.Load, err)
	}
	return do(Source{Load: load, Asked: true})
}

func withDir(args []string, do func(dir string) error) error {
	flags := newFlags()
	dir := flags.String("dir", "", "folder of the keys")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *dir == "" {
		return fmt.Errorf("-dir is missing: %w", flag.ErrHelp)
	}
	return do(*dir)
}

func newFlags() *flag.FlagSet {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Main prints the error
	return flags
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q: %w\n%s", flags.Arg(0), flag.ErrHelp, usage)
	}
	return nil
}

package obs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// LoadConfig fills cfg (a pointer to a struct with env tags) from the variables
// that begin with prefix. X_FILE gives X from a file. A variable with the
// prefix that cfg does not know is an error: a misspelt one must not pass for unset.
func LoadConfig(prefix string, cfg any) error {
	opts := env.Options{Prefix: prefix}
	params, err := env.GetFieldParamsWithOptions(cfg, opts)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var known []string
	for _, p := range params {
		known = append(known, p.Key)
	}
	if opts.Environment, err = environment(prefix, known); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := env.ParseWithOptions(cfg, opts); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// environment is ours with each X_FILE read into X.
func environment(prefix string, known []string) (map[string]string, error) {
	vars := env.ToMap(os.Environ())
	var unknown []error
	for name, value := range vars {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) {
			continue
		}
		plain, isFile := strings.CutSuffix(name, "_FILE")
		if !isFile || !slices.Contains(known, plain) {
			unknown = append(unknown, fmt.Errorf("unknown variable %s", name))
			continue
		}
		if _, both := os.LookupEnv(plain); both {
			return nil, fmt.Errorf("%s and %s are both set", plain, name)
		}
		text, err := os.ReadFile(value) //nolint:gosec // named by the operator
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		vars[plain] = strings.TrimRight(string(text), "\r\n")
	}
	slices.SortFunc(unknown, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return vars, errors.Join(unknown...)
}

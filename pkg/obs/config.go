package obs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Variable is a variable that is no field of a struct: Name is its name after
// the prefix, and its value is stored in Value.
type Variable struct {
	Name  string
	Value *string
}

// LoadConfig fills cfg (a pointer to a struct with env tags) and also from the
// variables that begin with prefix. X_FILE gives X from a file. A variable with
// the prefix that neither knows is an error: a misspelt one must not pass for unset.
func LoadConfig(prefix string, cfg any, also ...Variable) error {
	opts := env.Options{Prefix: prefix}
	params, err := env.GetFieldParamsWithOptions(cfg, opts)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var known []string
	for _, p := range params {
		known = append(known, p.Key)
	}
	for _, v := range also {
		known = append(known, prefix+v.Name)
	}
	if opts.Environment, err = environment(prefix, known); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := env.ParseWithOptions(cfg, opts); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	for _, v := range also {
		*v.Value = opts.Environment[prefix+v.Name]
	}
	return nil
}

// Defaults fills cfg as [LoadConfig] does when no variable is set.
func Defaults(cfg any) error {
	if err := env.ParseWithOptions(cfg, env.Options{Environment: map[string]string{}}); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// environment returns the process's environment with each X_FILE read into X.
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

package local

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

func TestEveryFolderIsATenantOfItsOwn(t *testing.T) {
	t.Parallel()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	_, generated := Source{Size: 60}.tenant()
	_, one := Source{Load: "/exports/one"}.tenant()
	_, two := Source{Load: "/exports/two"}.tenant()
	_, again := Source{Load: "/exports/one"}.tenant()
	if one != again {
		t.Errorf("the same folder is %s and %s", one, again)
	}
	if one == two || one == generated {
		t.Errorf("different tenants share a directory id: %s, %s, %s", generated, one, two)
	}
	if !uuid.MatchString(one) {
		t.Errorf("%s is not a UUID made of a hash", one)
	}
}

func TestNoTwoListenOnOnePort(t *testing.T) {
	t.Parallel()
	taken := map[string]string{}
	for name, addr := range ports(roster.DefaultBase).all() {
		if other, ok := taken[addr]; ok {
			t.Errorf("%s and %s share %s", name, other, addr)
		}
		taken[addr] = name
	}
	if want := 2*len(roster.All()) + 1; len(taken) != want {
		t.Errorf("%d ports, want %d: %v", len(taken), want, taken)
	}
}

func TestArgumentsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no command":       {nil, "Usage"},
		"unknown command":  {[]string{"fly"}, `"fly"`},
		"unknown flag":     {[]string{"up", "-fast"}, "-fast"},
		"a word too many":  {[]string{"demo", "now"}, `"now"`},
		"no such folder":   {[]string{"demo", "-load", "/no/such"}, "/no/such"},
		"a file":           {[]string{"demo", "-load", file}, "not a folder"},
		"no folder of key": {[]string{"keys"}, "-dir"},
		"nothing to run":   {[]string{"test-postgres", "--"}, "no command"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), tt.args, os.Stdout)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

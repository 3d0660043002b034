// Package test checks docker-compose.yml on machines without a container engine: it
// reads the file with the format's own library, compares it with the table of
// services, and starts the same binaries with the same settings.
package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// load parses docker-compose.yml as the engine does: against the schema, and
// every reference resolved.
func load(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// process returns the name of the command that a service's image is built from, or ""
// for an image that is not ours.
func process(s types.ServiceConfig) string {
	if s.Build == nil || s.Build.Args["SERVICE"] == nil {
		return ""
	}
	return *s.Build.Args["SERVICE"]
}

func TestImagesAreNamed(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z/-]+:v?[0-9]+\.[0-9.]+$`)
	for name, s := range load(t).Services {
		switch {
		case process(s) != "":
			if !slices.ContainsFunc(commands(process(s)), isFolder) {
				t.Errorf("%s is built from %q, which is no command of ours", name, process(s))
			}
		case !pinned.MatchString(s.Image):
			t.Errorf("%s: image %q is not pinned to a version", name, s.Image)
		}
	}
}

func commands(process string) []string {
	return []string{
		filepath.Join(root, "services", process, "cmd", process),
		filepath.Join(root, "pkg", "testkit", process, "cmd", process),
		filepath.Join(root, "deploy", process, "cmd", process),
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func TestNobodyStartsBeforeWhatItNeeds(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, s := range project.Services {
		for needed, d := range s.DependsOn {
			other := project.Services[needed]
			if d.Condition == types.ServiceConditionHealthy && other.HealthCheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, needed)
			}
			if once := other.Restart == "on-failure:3"; once != (d.Condition == types.ServiceConditionCompletedSuccessfully) {
				t.Errorf("%s waits for %s as %s", name, needed, d.Condition)
			}
		}
	}
	// Which service waits for which is compared with the table, in table_test.go.
	for _, edge := range [][2]string{{"gateway", "bootstrap"}, {"databases", "postgres"}, {"postgres", "keys"}} {
		if _, ok := project.Services[edge[0]].DependsOn[edge[1]]; !ok {
			t.Errorf("%s does not wait for %s", edge[0], edge[1])
		}
	}
}

func TestSecretsAreFilesOfTheirOwner(t *testing.T) {
	t.Parallel()
	password := regexp.MustCompile(`://[^/@:]*:[^/@]*@|password=`)
	for name, s := range load(t).Services {
		for variable, value := range s.Environment {
			if value != nil && password.MatchString(*value) {
				t.Errorf("%s: %s holds a password", name, variable)
			}
		}
		if process(s) == "" || process(s) == "local" {
			continue
		}
		for _, v := range s.Volumes {
			if strings.HasSuffix(v.Source, "-keys") && v.Source != process(s)+"-keys" {
				t.Errorf("%s sees %s", name, v.Source)
			}
			if strings.HasSuffix(v.Source, "-keys") && !v.ReadOnly {
				t.Errorf("%s may write %s", name, v.Source)
			}
		}
	}
}

func TestPortsArePublishedOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for name, s := range load(t).Services {
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, p.Published, p.HostIP)
			}
		}
	}
}

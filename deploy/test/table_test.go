package test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

// containers is the place where the services of docker-compose.yml run.
type containers struct{}

func (containers) Listen(port int) string { return fmt.Sprintf("0.0.0.0:%d", roster.DefaultBase+port) }

func (containers) Address(process string, port int) string {
	return fmt.Sprintf("%s:%d", process, roster.DefaultBase+port)
}

func (containers) Key(process, file string) string { return "/keys/" + process + "/" + file }

func (containers) AppURL(service string) (string, error) { return databaseURL(service, "app"), nil }

func (containers) OwnerURL(service string) (string, error) { return databaseURL(service, "owner"), nil }

func databaseURL(service, role string) string {
	return fmt.Sprintf("postgres://%[1]s_%[2]s@postgres:5432/tenantpilot_%[1]s?sslmode=disable&passfile=/keys/%[1]s/%[2]s.pgpass", service, role)
}

func TestTheFileHasEveryRowOfTheTable(t *testing.T) {
	t.Parallel()
	for _, each := range compare(load(t), roster.All()) {
		t.Error(each)
	}
}

// compare returns a sentence for each thing of the table that the file lacks or has
// otherwise.
func compare(p *types.Project, table []roster.Service) []string {
	var found []string
	for _, row := range table {
		c := comparison{project: p, row: row}
		c.service()
		c.keys("keys", false)
		if !row.Web {
			c.keys("databases", true)
			c.migration()
		}
		found = append(found, c.found...)
	}
	return found
}

// comparison is of one row of the table with the file.
type comparison struct {
	project *types.Project
	row     roster.Service
	found   []string
}

func (c *comparison) say(format string, args ...any) {
	c.found = append(c.found, "docker-compose.yml "+fmt.Sprintf(format, args...))
}

// service compares the container that serves.
func (c *comparison) service() {
	name := c.row.Name
	s, ok := c.project.Services[name]
	if !ok {
		c.say("has no service %s, which has a row in %s: add its block, after the pattern of inventory's", name, roster.File)
		return
	}
	env, err := c.row.Environment(containers{})
	if err != nil {
		c.say("cannot have %s: %v", name, err)
	}
	c.environment(name, env)
	c.ownKeys(name)
	if port := roster.DefaultBase + c.row.Listen(); !publishes(s, port) {
		c.say(`lacks a port of %[1]s: it publishes "127.0.0.1:%[2]d:%[2]d"`, name, port)
	}
	if url := fmt.Sprintf("http://127.0.0.1:%d/readyz", roster.DefaultBase+c.row.Admin()); s.HealthCheck == nil || !slices.Contains(s.HealthCheck.Test, url) {
		c.say("lacks a health check of %s: it probes %s", name, url)
	}
	c.waits(name, c.row.Calls...)
	if !c.row.Web {
		c.waits(name, name+"-migrate")
	}
}

// migration compares the container that migrates, once.
func (c *comparison) migration() {
	name := c.row.Name + "-migrate"
	s, ok := c.project.Services[name]
	if !ok {
		c.say("has no service %s, which brings the database up to the binary: add its block, after the pattern of inventory-migrate's", name)
		return
	}
	if !slices.Equal(s.Command, types.ShellCommand{"migrate"}) {
		c.say("lets %s run %q: its command is [migrate]", name, s.Command)
	}
	c.environment(name, []string{c.row.Variable("OWNER_DATABASE_URL") + "=" + databaseURL(c.row.Name, "owner")})
	c.ownKeys(name)
	c.waits(name, "databases")
}

// environment compares what a container is started with, but for what every one may have.
func (c *comparison) environment(name string, want []string) {
	have := c.project.Services[name].Environment
	known := map[string]bool{}
	for _, each := range want {
		variable, value, _ := strings.Cut(each, "=")
		known[variable] = true
		switch got := have[variable]; {
		case got == nil:
			c.say("lacks a variable of %s: %s: %s", name, variable, value)
		case *got != value:
			c.say("gives %s %s: %s, and by the table it is %s", name, variable, *got, value)
		}
	}
	for _, variable := range slices.Sorted(maps.Keys(have)) {
		if strings.HasPrefix(variable, c.row.Variable("")) && !known[variable] {
			c.say("gives %s %s, which its row in %s does not: add it there too", name, variable, roster.File)
		}
	}
}

// ownKeys: a container sees the keys of its service, and may not write them.
func (c *comparison) ownKeys(name string) {
	if s := c.project.Services[name]; process(s) != c.row.Name {
		c.say("builds %s with SERVICE %q: it is %s", name, process(s), c.row.Name)
	}
	c.keys(name, true)
}

// keys compares the volume of the row's keys in one container.
func (c *comparison) keys(container string, readOnly bool) {
	volume, target := c.row.Name+"-keys", "/keys/"+c.row.Name
	if _, ok := c.project.Volumes[volume]; !ok && container == "keys" {
		c.say("lacks the volume %s: add it under volumes, at the end", volume)
	}
	line := volume + ":" + target
	if readOnly {
		line += ":ro"
	}
	for _, v := range c.project.Services[container].Volumes {
		if v.Source == volume && v.Target == target && v.ReadOnly == readOnly {
			return
		}
	}
	c.say("lacks a volume of %s: %s", container, line)
}

func (c *comparison) waits(name string, needed ...string) {
	for _, each := range needed {
		if _, ok := c.project.Services[name].DependsOn[each]; !ok {
			c.say("does not let %s wait for %s: add it to its depends_on", name, each)
		}
	}
}

func publishes(s types.ServiceConfig, port int) bool {
	return slices.ContainsFunc(s.Ports, func(p types.ServicePortConfig) bool {
		return int(p.Target) == port && p.Published == fmt.Sprint(port)
	})
}

func TestWhatTheFileLacksIsSaidInASentence(t *testing.T) {
	t.Parallel()
	probe := roster.Service{Name: "probe", Number: 4, Calls: []string{"operations"}}
	tests := map[string]struct {
		table  []roster.Service
		damage func(p *types.Project)
		want   []string
	}{
		"everything of a new service": {
			table: append(roster.All(), probe),
			want: []string{
				"docker-compose.yml has no service probe, which has a row in deploy/local/roster/table.go: add its block, after the pattern of inventory's",
				"docker-compose.yml lacks the volume probe-keys: add it under volumes, at the end",
				"docker-compose.yml lacks a volume of keys: probe-keys:/keys/probe",
				"docker-compose.yml lacks a volume of databases: probe-keys:/keys/probe:ro",
				"docker-compose.yml has no service probe-migrate, which brings the database up to the binary: add its block, after the pattern of inventory-migrate's",
			},
		},
		"a variable": {
			damage: func(p *types.Project) { delete(p.Services["inventory"].Environment, "INVENTORY_OPERATIONS_TARGET") },
			want:   []string{"docker-compose.yml lacks a variable of inventory: INVENTORY_OPERATIONS_TARGET: operations:7101"},
		},
		"a variable that the table does not know": {
			damage: func(p *types.Project) { p.Services["tenancy"].Environment["TENANCY_MODE"] = new("odd") },
			want:   []string{"docker-compose.yml gives tenancy TENANCY_MODE, which its row in deploy/local/roster/table.go does not: add it there too"},
		},
		"another port": {
			damage: func(p *types.Project) { p.Services["tenancy"].Environment["TENANCY_LISTEN"] = new("0.0.0.0:7109") },
			want:   []string{"docker-compose.yml gives tenancy TENANCY_LISTEN: 0.0.0.0:7109, and by the table it is 0.0.0.0:7102"},
		},
		"a published port, a health check and an order": {
			damage: func(p *types.Project) {
				s := p.Services["tenancy"]
				s.Ports, s.HealthCheck, s.DependsOn = nil, nil, nil
				p.Services["tenancy"] = s
			},
			want: []string{
				`docker-compose.yml lacks a port of tenancy: it publishes "127.0.0.1:7102:7102"`,
				"docker-compose.yml lacks a health check of tenancy: it probes http://127.0.0.1:7202/readyz",
				"docker-compose.yml does not let tenancy wait for tenancy-migrate: add it to its depends_on",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := load(t)
			if tt.damage != nil {
				tt.damage(project)
			}
			table := tt.table
			if table == nil {
				table = roster.All()
			}
			if got := compare(project, table); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// The image of any service is built by patterns, so that a new one needs no edit.
func TestTheDockerfileBuildsEveryService(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, word := range strings.Fields(string(text)) {
		if pattern, ok := strings.CutPrefix(word, "./"); ok {
			match, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil || len(match) == 0 {
				t.Errorf("deploy/Dockerfile builds ./%s, and there is no such folder", pattern)
			}
			built = append(built, match...)
		}
	}
	for _, s := range roster.All() {
		if !slices.Contains(built, commands(s.Name)[0]) {
			t.Errorf("deploy/Dockerfile does not build %s", s.Name)
		}
	}
}

package local

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/fleet"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/provision"
	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// Source says what the simulated tenant is made from.
type Source struct {
	Load string // a folder of exported policy JSON; "" generates a tenant
	Size int    // policies of a generated tenant
	Seed int    // the same seed and size make the same tenant

	Asked bool // the person asked for this tenant; else a running one will do
}

func (s Source) String() string {
	if s.Load != "" {
		return "the policies of " + s.Load
	}
	return fmt.Sprintf("a generated tenant of %d policies (seed %d)", s.Size, s.Seed)
}

// tenant returns the name of the simulated tenant and its directory id. Every folder
// is a tenant of its own: a policy that one folder lacks must not look removed.
func (s Source) tenant() (name, directory string) {
	if s.Load == "" {
		return "Contoso Demo", graphsim.DemoTenant
	}
	h := sha256.Sum256([]byte(s.Load))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // a UUID made of a hash: version 8
	id := fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
	return fmt.Sprintf("Folder %s (%s)", filepath.Base(s.Load), id[:8]), id // two folders may have the same name
}

// plan says how the processes of one machine are run.
type plan struct {
	bin       string // folder of the binaries
	token     string // file of the API token
	keys      provision.Keys
	ports     ports
	superuser string // URL of PostgreSQL
	source    Source
}

// migration returns the process that brings a service's database up to its binary.
func (p plan) migration(s roster.Service) (fleet.Process, error) {
	owner, err := p.OwnerURL(s.Name)
	return fleet.Process{
		Name: s.Name, Path: filepath.Join(p.bin, s.Name), Args: []string{"migrate"},
		Env: []string{s.Variable("OWNER_DATABASE_URL") + "=" + owner},
	}, err
}

// bootstrap returns the process that makes the first workspace, its owner and token, and the tenant.
func (p plan) bootstrap() (fleet.Process, error) {
	app, err := p.AppURL("tenancy")
	name, directory := p.source.tenant()
	return fleet.Process{
		Name: "tenancy", Path: filepath.Join(p.bin, "tenancy"),
		Args: []string{"bootstrap", "-workspace", workspace, "-owner", "Demo owner", "-token-file", p.token,
			"-tenant-name", name, "-tenant-directory-id", directory,
			"-client-id", graphsim.DemoClient, "-client-secret-file", p.keys.File("tenancy", "demo-client-secret")},
		Env: []string{"TENANCY_DATABASE_URL=" + app, "TENANCY_MASTER_KEY_FILE=" + p.keys.File("tenancy", "master.key")},
	}, err
}

// processes returns the fleet in the order it starts: a service starts after all that it calls.
func (p plan) processes() ([]fleet.Process, error) {
	sim, err := p.simulator()
	if err != nil {
		return nil, err
	}
	all := []fleet.Process{sim}
	for _, s := range roster.All() {
		process, err := p.service(s)
		if err != nil {
			return nil, err
		}
		all = append(all, process)
	}
	return all, nil
}

func (p plan) simulator() (fleet.Process, error) {
	client, err := trusting(p.keys.File(roster.Simulator, "ca.pem"))
	_, directory := p.source.tenant()
	args := []string{
		"-listen", p.ports.simulator(),
		"-tls-cert", p.keys.File(roster.Simulator, "cert.pem"), "-tls-key", p.keys.File(roster.Simulator, "key.pem"),
		"-tenant", directory, "-client-id", graphsim.DemoClient,
		"-client-secret-file", p.keys.File(roster.Simulator, "client-secret"),
	}
	if p.source.Load != "" {
		args = append(args, "-load", p.source.Load)
	} else {
		args = append(args, "-size", strconv.Itoa(p.source.Size), "-seed", strconv.Itoa(p.source.Seed))
	}
	return fleet.Process{
		Name: roster.Simulator, Path: filepath.Join(p.bin, roster.Simulator), Args: args,
		Ready: "https://" + p.ports.simulator() + "/_sim/health", HTTP: client,
	}, err
}

// service returns the process of a row of the table.
func (p plan) service(s roster.Service) (fleet.Process, error) {
	env, err := s.Environment(p)
	if os.Getenv("LOG_FORMAT") == "" {
		env = append(env, "LOG_FORMAT=text")
	}
	return fleet.Process{
		Name: s.Name, Path: filepath.Join(p.bin, s.Name), Env: env,
		Ready: "http://" + p.ports.addr(s.Admin()) + "/readyz",
	}, err
}

// The methods below make plan a roster.Place: every process is on loopback.

// Listen implements [roster.Place].
func (p plan) Listen(port int) string { return p.ports.addr(port) }

// Address implements [roster.Place].
func (p plan) Address(_ string, port int) string { return p.ports.addr(port) }

// Key implements [roster.Place].
func (p plan) Key(process, file string) string { return p.keys.File(process, file) }

// AppURL implements [roster.Place].
func (p plan) AppURL(service string) (string, error) { return p.keys.AppURL(p.superuser, service) }

// OwnerURL implements [roster.Place].
func (p plan) OwnerURL(service string) (string, error) { return p.keys.OwnerURL(p.superuser, service) }

// trusting returns a client that trusts the authority in file and no other.
func trusting(file string) (*http.Client, error) {
	trusted, err := roots.Only(file)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}, nil
}

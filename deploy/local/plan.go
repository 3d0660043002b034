package local

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/fleet"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/provision"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

func stores() []string { return provision.Stores() }

// Source is what the simulated tenant is made of.
type Source struct {
	Load string // a folder of exported policy JSON; "" generates a tenant
	Size int    // policies of a generated tenant
	Seed int    // the same seed and size make the same tenant

	Asked bool // by the person; else any tenant will do
}

func (s Source) String() string {
	if s.Load != "" {
		return "the policies of " + s.Load
	}
	return fmt.Sprintf("a generated tenant of %d policies (seed %d)", s.Size, s.Seed)
}

// tenant names the simulated tenant and its directory. Every folder is a tenant
// of its own: what it lacks must not look removed from another.
func (s Source) tenant() (name, directory string) {
	if s.Load == "" {
		return "Contoso Demo", graphsim.DemoTenant
	}
	h := sha256.Sum256([]byte(s.Load))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // a UUID made of a hash: version 8
	id := fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
	return fmt.Sprintf("Folder %s (%s)", filepath.Base(s.Load), id[:8]), id // two may have one name
}

// plan is how the processes of one machine are run.
type plan struct {
	bin       string // folder of the binaries
	token     string // file of the API token
	keys      provision.Keys
	ports     ports
	superuser string // URL of PostgreSQL
	source    Source
}

// migrations bring the databases up to the binaries.
func (p plan) migration(service string) (fleet.Process, error) {
	owner, err := p.keys.OwnerURL(p.superuser, service)
	prefix := strings.ToUpper(service) + "_"
	return fleet.Process{
		Name: service, Path: filepath.Join(p.bin, service), Args: []string{"migrate"},
		Env: []string{prefix + "OWNER_DATABASE_URL=" + owner},
	}, err
}

// bootstrap makes the first workspace, its owner and token, and the tenant.
func (p plan) bootstrap() (fleet.Process, error) {
	app, err := p.keys.AppURL(p.superuser, "tenancy")
	name, directory := p.source.tenant()
	return fleet.Process{
		Name: "tenancy", Path: filepath.Join(p.bin, "tenancy"),
		Args: []string{"bootstrap", "-workspace", workspace, "-owner", "Demo owner", "-token-file", p.token,
			"-tenant-name", name, "-tenant-directory-id", directory,
			"-client-id", graphsim.DemoClient, "-client-secret-file", p.keys.File("tenancy", "demo-client-secret")},
		Env: []string{"TENANCY_DATABASE_URL=" + app, "TENANCY_MASTER_KEY_FILE=" + p.keys.File("tenancy", "master.key")},
	}, err
}

// processes are the fleet in the order it starts: nobody calls one below itself.
func (p plan) processes() ([]fleet.Process, error) {
	sim, err := p.simulator()
	if err != nil {
		return nil, err
	}
	all := []fleet.Process{sim}
	for _, service := range stores() {
		process, err := p.service(service)
		if err != nil {
			return nil, err
		}
		all = append(all, process)
	}
	return append(all, p.gateway()), nil
}

func (p plan) simulator() (fleet.Process, error) {
	client, err := trusting(p.keys.File("graphsim", "ca.pem"))
	_, directory := p.source.tenant()
	args := []string{
		"-listen", p.ports.simulator(),
		"-tls-cert", p.keys.File("graphsim", "cert.pem"), "-tls-key", p.keys.File("graphsim", "key.pem"),
		"-tenant", directory, "-client-id", graphsim.DemoClient,
		"-client-secret-file", p.keys.File("graphsim", "client-secret"),
	}
	if p.source.Load != "" {
		args = append(args, "-load", p.source.Load)
	} else {
		args = append(args, "-size", strconv.Itoa(p.source.Size), "-seed", strconv.Itoa(p.source.Seed))
	}
	return fleet.Process{
		Name: "graphsim", Path: filepath.Join(p.bin, "graphsim"), Args: args,
		Ready: "https://" + p.ports.simulator() + "/_sim/health", HTTP: client,
	}, err
}

func (p plan) service(name string) (fleet.Process, error) {
	app, err := p.keys.AppURL(p.superuser, name)
	env := append(p.identity(name),
		"LISTEN="+p.ports.grpc(name),
		"ACTOR_KEYS="+p.keys.File(name, "actor-pub.pem"),
		"PAGE_KEY_FILE="+p.keys.File(name, "page.key"),
		"REFLECTION=true",
		"DATABASE_URL="+app,
	)
	authority := p.keys.File(name, "ca.pem")
	switch name {
	case "operations":
		owner, err := p.keys.OwnerURL(p.superuser, name)
		if err != nil {
			return fleet.Process{}, err
		}
		env = append(env, "OWNER_DATABASE_URL="+owner) // retention is the owner's
	case "tenancy":
		env = append(env,
			"MASTER_KEY_FILE="+p.keys.File(name, "master.key"),
			"AUTHORITY_OVERRIDE=https://"+p.ports.simulator(),
			"GRAPH_OVERRIDE=https://"+p.ports.simulator(),
			"EXTRA_CA="+authority,
		)
	case "inventory":
		env = append(env,
			"OPERATIONS_TARGET="+p.ports.grpc("operations"),
			"TENANCY_TARGET="+p.ports.grpc("tenancy"),
			"GRAPH_CA="+authority,
		)
	}
	return p.process(name, env), err
}

func (p plan) gateway() fleet.Process {
	return p.process("gateway", append(p.identity("gateway"),
		"LISTEN="+p.ports.gateway(),
		"ACTOR_KEY="+p.keys.File("gateway", "actor-key.pem"),
		"SESSION_KEY_FILE="+p.keys.File("gateway", "session.key"),
		"OPERATIONS_TARGET="+p.ports.grpc("operations"),
		"TENANCY_TARGET="+p.ports.grpc("tenancy"),
		"INVENTORY_TARGET="+p.ports.grpc("inventory"),
	))
}

// identity is what every process of ours has: its certificate and its admin port.
func (p plan) identity(name string) []string {
	return []string{
		"ADMIN_LISTEN=" + p.ports.admin(name),
		"TLS_CERT=" + p.keys.File(name, "cert.pem"),
		"TLS_KEY=" + p.keys.File(name, "key.pem"),
		"TLS_CA=" + p.keys.File(name, "ca.pem"),
	}
}

// process runs a service with env, each with the service's own prefix.
func (p plan) process(name string, env []string) fleet.Process {
	prefixed := make([]string, 0, len(env)+1)
	for _, each := range env {
		prefixed = append(prefixed, strings.ToUpper(name)+"_"+each)
	}
	if os.Getenv("LOG_FORMAT") == "" {
		prefixed = append(prefixed, "LOG_FORMAT=text")
	}
	return fleet.Process{
		Name: name, Path: filepath.Join(p.bin, name), Env: prefixed,
		Ready: "http://" + p.ports.admin(name) + "/readyz",
	}
}

// trusting is a client that trusts the authority in file and no other.
func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New(file + ": no certificate in it")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

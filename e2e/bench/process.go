package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/gateway"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

// servePrefix with a name, as the first argument, makes this command that service.
const servePrefix = "serve-"

// serve runs a service as its own command does.
func serve(name string) {
	switch name {
	case operations.Name:
		obs.Main(name, operations.Service.Serve)
	case tenancy.Name:
		obs.Main(name, tenancy.Service.Serve)
	case gateway.Name:
		obs.Main(name, serveGateway)
	}
}

func serveGateway(ctx context.Context, log *slog.Logger) error {
	var cfg gateway.Config
	if err := obs.LoadConfig(gateway.EnvPrefix, &cfg); err != nil {
		return err
	}
	return gateway.Run(ctx, cfg, log)
}

// process is a running service.
type process struct {
	command *exec.Cmd
	address string
	admin   string
	log     string // the file of its log
}

// start starts the service called name and waits until it listens.
func (w *world) start(ctx context.Context, name string) (*process, error) {
	p := &process{log: w.file(name + ".log")}
	var err error
	if p.address, err = rpctest.Address(ctx); err != nil {
		return nil, err
	}
	if p.admin, err = rpctest.Address(ctx); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()                                // the child has a descriptor of its own
	p.command = exec.Command(self, servePrefix+name) //nolint:gosec,noctx // our own binary; stop stops it
	p.command.Env, p.command.Stderr = w.environment(p, name), log
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	return p, p.listens(ctx)
}

func (w *world) environment(p *process, name string) []string {
	prefix := strings.ToUpper(name) + "_"
	env := append(os.Environ(), prefix+"LISTEN="+p.address, prefix+"ADMIN_LISTEN="+p.admin,
		prefix+"TLS_CERT="+w.ca.CertFile(name), prefix+"TLS_KEY="+w.ca.KeyFile(name), prefix+"TLS_CA="+w.ca.RootFile())
	if name == gateway.Name {
		return append(env, prefix+"ACTOR_KEY="+w.file("actor-key.pem"),
			prefix+"OPERATIONS_TARGET="+w.fleet[operations.Name].address, prefix+"TENANCY_TARGET="+w.fleet[tenancy.Name].address,
			prefix+"INVENTORY_TARGET=127.0.0.1:1") // no inventory runs here, and no page that is watched asks for one
	}
	env = append(env, prefix+"ACTOR_KEYS="+w.file("actor-pub.pem"), prefix+"DRAIN_GRACE=1ms",
		prefix+"DATABASE_URL="+w.postgres.As(name+"_app", name), prefix+"DATABASE_MAX_CONNS=16")
	if name == tenancy.Name {
		env = append(env, prefix+"MASTER_KEY="+masterKey)
	}
	return env
}

// listens waits until the port is open.
func (p *process) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w; its log is %s", filepath.Base(p.log), err, p.log)
		}
	}
}

// stop ends the service as its operator would.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("%w; its log is %s", err, p.log)
	}
	return nil
}

// usage is what a process has used so far, and what it holds now.
type usage struct {
	cpu        float64 // seconds
	resident   float64 // bytes
	goroutines float64
}

// usage reads the metrics of the process.
func (p *process) usage(ctx context.Context) (u usage, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return u, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	wanted := map[string]*float64{
		"process_cpu_seconds_total": &u.cpu, "process_resident_memory_bytes": &u.resident, "go_goroutines": &u.goroutines,
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if into := wanted[name]; into != nil {
			if *into, err = strconv.ParseFloat(value, 64); err != nil {
				return u, err
			}
		}
	}
	return u, lines.Err()
}

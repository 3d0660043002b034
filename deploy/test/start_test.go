package test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// host runs docker-compose.yml as processes of this machine. A host of the file is a
// port of loopback here, and a volume is a folder.
type host struct {
	t       *testing.T
	project *types.Project
	bin     string
	volumes string
	ports   map[string]string // by the port in the file
	started []string
}

func TestItStartsAndSyncs(t *testing.T) {
	t.Parallel()
	h := &host{t: t, project: load(t), bin: t.TempDir(), volumes: t.TempDir(), ports: map[string]string{}}
	h.build()
	for len(h.started) < len(h.project.Services) {
		before := len(h.started)
		for _, name := range slices.Sorted(maps.Keys(h.project.Services)) {
			if !slices.Contains(h.started, name) && h.satisfied(name) {
				h.start(name)
			}
		}
		if len(h.started) == before {
			t.Fatalf("nothing more can start after %v", h.started)
		}
	}
	sync(t, "http://127.0.0.1:"+h.port("7080"), filepath.Join(h.volumes, "token", "token"))
}

func (h *host) build() {
	h.t.Helper()
	args := []string{"build", "-o", h.bin, "./deploy/local/cmd/probe"}
	for _, s := range h.project.Services {
		for _, command := range commands(process(s)) {
			if folder := "./" + strings.TrimPrefix(command, root+"/"); process(s) != "" && isFolder(command) && !slices.Contains(args, folder) {
				args = append(args, folder)
			}
		}
	}
	cmd := exec.CommandContext(h.t.Context(), "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("build: %v\n%s", err, out)
	}
}

func (h *host) satisfied(name string) bool {
	for needed := range h.project.Services[name].DependsOn {
		if !slices.Contains(h.started, needed) {
			return false
		}
	}
	return true
}

// start runs a service until it is healthy, or to its end if it runs once.
func (h *host) start(name string) {
	h.t.Helper()
	s := h.project.Services[name]
	switch {
	case name == "postgres":
		h.postgres()
	case process(s) == "":
		// Jaeger and Prometheus: nobody waits for them.
	case s.Restart == "on-failure:3":
		if out, err := h.command(s, "/service", s.Command).CombinedOutput(); err != nil {
			h.t.Fatalf("%s: %v\n%s", name, err, out)
		}
	default:
		h.run(name, s)
	}
	h.started = append(h.started, name)
}

func (h *host) postgres() {
	h.t.Helper()
	bin, err := server.Find()
	if err != nil {
		h.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tenantpilot-compose-")
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may have to be another user
		h.t.Fatal(err)
	}
	port, err := strconv.Atoi(h.port("5432"))
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := server.Start(h.t.Context(), server.Options{Dir: dir, Bin: bin, Port: port, Listen: "127.0.0.1", Disposable: true})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := s.Stop(server.Immediate); err != nil {
			h.t.Error(err)
		}
	})
}

func (h *host) run(name string, s types.ServiceConfig) {
	h.t.Helper()
	cmd := h.command(s, "/service", s.Command)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its log says how it ended
	}()
	h.t.Cleanup(func() { // the test's context has ended by now, so it has been asked to stop
		<-ended
		if h.t.Failed() {
			h.t.Logf("%s said:\n%s", name, tail(out.String()))
		}
	})
	check := s.HealthCheck.Test
	eventually(h.t, name+" is healthy", func(ctx context.Context) error {
		select {
		case <-ended:
			h.t.Fatalf("%s ended before it was healthy", name)
		default:
		}
		said, err := h.command(s, check[1], types.ShellCommand(check[2:])).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		return nil
	})
}

// command returns what the engine would run in the container of s.
func (h *host) command(s types.ServiceConfig, path string, args types.ShellCommand) *exec.Cmd {
	binary := strings.TrimPrefix(path, "/")
	if path == "/service" {
		binary = process(s)
	}
	translated := make([]string, 0, len(args))
	for _, each := range args {
		translated = append(translated, h.translate(s, each))
	}
	cmd := exec.CommandContext(h.t.Context(), filepath.Join(h.bin, binary), translated...)
	cmd.Env = []string{"PATH=/nowhere"} // a container has only what the file gives it
	for name, value := range s.Environment {
		if value != nil && !strings.HasPrefix(name, "OTEL_") {
			cmd.Env = append(cmd.Env, name+"="+h.translate(s, *value))
		}
	}
	return cmd
}

// address is a port of a container, where the file names one.
var address = regexp.MustCompile(`\b(0\.0\.0\.0|127\.0\.0\.1|localhost|postgres|` + strings.Join(roster.Certificates(), "|") + `):([0-9]{4})\b`)

func (h *host) translate(s types.ServiceConfig, text string) string {
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume {
			text = strings.ReplaceAll(text, v.Target+"/", h.folder(v.Source)+"/")
		}
	}
	if process(s) == "local" && text == "/keys" {
		return h.keys(s)
	}
	return address.ReplaceAllStringFunc(text, func(found string) string {
		return "127.0.0.1:" + h.port(found[strings.LastIndex(found, ":")+1:])
	})
}

// keys returns one folder with the volumes of s in it, as the launcher sees them.
func (h *host) keys(s types.ServiceConfig) string {
	h.t.Helper()
	dir := h.t.TempDir()
	for _, v := range s.Volumes {
		if err := os.Symlink(h.folder(v.Source), filepath.Join(dir, filepath.Base(v.Target))); err != nil {
			h.t.Fatal(err)
		}
	}
	return dir
}

func (h *host) folder(volume string) string {
	h.t.Helper()
	dir := filepath.Join(h.volumes, volume)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	return dir
}

// port returns a free port of loopback that stands for one of the file. It is below
// the range from which systems choose ports for connections.
func (h *host) port(inFile string) string {
	h.t.Helper()
	if port, ok := h.ports[inFile]; ok {
		return port
	}
	port := ""
	for port == "" {
		try := strconv.Itoa(10_000 + rand.IntN(22_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+try); err == nil {
			l.Close()
			port = try
		}
	}
	h.ports[inFile] = port
	return port
}

func eventually(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

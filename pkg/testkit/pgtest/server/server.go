// Package server runs a PostgreSQL server of our own as a child process: for
// tests, and for development. It is not for production, and it never touches a
// server that it did not start.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// Options are what a server is made of.
type Options struct {
	Dir        string            // holds the data, kept between starts; made if it is not there
	Bin        string            // the folder of initdb and postgres; see [Find]
	Port       int               // names the socket and, with Listen, is the TCP port; 0 is 5432
	Listen     string            // a TCP address such as 127.0.0.1; "" is the socket alone
	Durable    bool              // survives a power cut; tests need not
	Disposable bool              // Dir is removed when the server or this process ends
	Settings   map[string]string // of postgresql.conf
}

// Server is a running PostgreSQL. It ends when [Server.Stop] is called or this
// process ends, however it ends.
type Server struct {
	opts     Options
	sockets  string
	process  *exec.Cmd
	guardian *guardian
	wait     func() error // reaps the process, once
}

// Mode is how to stop.
type Mode syscall.Signal

const (
	// Fast lets transactions be rolled back and writes everything down.
	Fast = Mode(syscall.SIGINT)
	// Immediate is a crash: the next start recovers.
	Immediate = Mode(syscall.SIGQUIT)
	// Kill is a crash of the first process alone; the others notice.
	Kill = Mode(syscall.SIGKILL)
)

// Start starts a server and returns when the server takes connections. It
// recovers a folder that a crash left behind.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Port == 0 {
		opts.Port = 5432
	}
	s, err := prepare(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start postgres in %s: %w", opts.Dir, err)
	}
	if err := s.launch(ctx); err != nil {
		s.guardian.release()
		return nil, fmt.Errorf("start postgres in %s: %w", opts.Dir, err)
	}
	return s, nil
}

func prepare(ctx context.Context, opts Options) (*Server, error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // another user must get through; the data below is 0700
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // as the guardian will see it
		return nil, err
	}
	opts.Dir = dir
	as, err := identityFor(dir)
	if err != nil {
		return nil, err
	}
	sockets, err := socketDir(dir, as)
	if err != nil {
		return nil, err
	}
	guardian, err := guard(ctx, opts, sockets)
	if err != nil {
		return nil, err
	}
	if err := initialise(ctx, opts, as); err != nil {
		guardian.release()
		return nil, err
	}
	return &Server{opts: opts, sockets: sockets, guardian: guardian}, nil
}

// launch starts the process, again if what a crash left is still going away.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := s.spawn()
		if err != nil {
			return err
		}
		if err = s.ready(ctx); err == nil {
			return nil
		}
		if !errors.Is(err, errEnded) || !s.blockedByCrash() {
			s.halt(Immediate)
			return fmt.Errorf("%w\n%s", err, s.logTail())
		}
		if err := pause.For(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("%w\n%s", err, s.logTail())
		}
	}
}

func (s *Server) spawn() error {
	as, err := identityFor(s.opts.Dir)
	if err != nil {
		return err
	}
	// Appending: what a crashed server still says must not overwrite what this one does.
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                            // the child has its own
	cmd := exec.Command(filepath.Join(s.opts.Bin, "postgres"), s.arguments()...) //nolint:gosec,noctx // it outlives the call that starts it
	cmd.SysProcAttr, cmd.Dir = as.attributes(), s.opts.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.wait = cmd, sync.OnceValue(cmd.Wait)
	return nil
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"unix_socket_directories": s.sockets,
		"listen_addresses":        s.opts.Listen,
		"port":                    strconv.Itoa(s.opts.Port),
		// Files beside the data: a crash leaves nothing in /dev/shm.
		"dynamic_shared_memory_type": "mmap",
	}
	if !s.opts.Durable {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
		settings["max_connections"], settings["max_wal_senders"], settings["wal_level"] = "400", "0", "minimal"
	}
	for name, value := range s.opts.Settings {
		settings[name] = value
	}
	args := []string{"-D", s.dataDir()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

var errEnded = errors.New("the server ended")

// ready waits until the server takes connections or has ended.
func (s *Server) ready(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		if s.ended() {
			return errEnded
		}
		if pauseErr := pause.For(ctx, 15*time.Millisecond); pauseErr != nil {
			return fmt.Errorf("%w: %w", pauseErr, err)
		}
	}
}

// ended reports whether the process is a zombie or gone, without reaping it:
// that is for [Server.Wait].
func (s *Server) ended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	return err != nil || isZombie(stat)
}

// URL returns the superuser's URL, over the socket.
func (s *Server) URL() string {
	query := url.Values{"host": {s.sockets}, "port": {strconv.Itoa(s.opts.Port)}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: query.Encode()}
	return u.String()
}

// As returns the URL of a database of the server, for user.
func (s *Server) As(user, database string) string { return As(s.URL(), user, database) }

// As returns serverURL with another user and database.
func As(serverURL, user, database string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return serverURL // whoever connects will say what is wrong with it
	}
	u.User, u.Path = url.User(user), "/"+database
	return u.String()
}

// Pid is the process id of the server.
func (s *Server) Pid() int { return s.process.Process.Pid }

// Wait waits until the server has ended and returns how it ended.
func (s *Server) Wait() error { return s.wait() }

// Restart stops the server as mode says and starts it again on the same data
// and address.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	s.halt(mode)
	return s.launch(ctx)
}

func (s *Server) halt(mode Mode) {
	_ = s.process.Process.Signal(syscall.Signal(mode)) // it may have ended by itself
	_ = s.wait()
}

// Stop ends the server and everything that watches over it.
func (s *Server) Stop(mode Mode) error {
	s.halt(mode)
	s.guardian.release()
	return nil
}

func (s *Server) dataDir() string { return filepath.Join(s.opts.Dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.opts.Dir, "postgres.log") }

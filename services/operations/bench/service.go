package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// service is the run store in a process of its own, and connections to it.
type service struct {
	process *exec.Cmd
	address string
	admin   string
	log     string // the file of its log, which has a line for each call, as in production
	conns   []*grpc.ClientConn
}

// callersPerConn is how many callers share a connection. With more, the connection would be
// the limit.
const callersPerConn = 128

// serve starts the service on the database of the turn, with connections for so many callers.
func (t *turn) serve(ctx context.Context, callers int, settings ...string) (*service, error) {
	s := &service{log: t.file("operations.log")}
	var err error
	if s.address, err = rpctest.Address(ctx); err != nil {
		return nil, err
	}
	if s.admin, err = rpctest.Address(ctx); err != nil {
		return nil, err
	}
	if err := s.start(t.environment(s, settings)); err != nil {
		return nil, err
	}
	for range 1 + (callers-1)/callersPerConn {
		conn, err := t.dial(s.address, caller)
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.conns = append(s.conns, conn)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, conn := range s.conns {
		_, err := operationsv1.NewRunReaderServiceClient(conn).ListRunTypes(ctx, &operationsv1.ListRunTypesRequest{}, grpc.WaitForReady(true))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the service is not ready: %w", err), s.stop())
		}
	}
	return s, nil
}

// dial connects to the service with the certificate of as.
func (t *turn) dial(address, as string) (*grpc.ClientConn, error) {
	return rpc.Dial(address, operations.Name, rpc.ClientConfig{
		TLSCert: t.ca.CertFile(as), TLSKey: t.ca.KeyFile(as), TLSCA: t.ca.RootFile(),
	}, slog.New(slog.DiscardHandler))
}

func (t *turn) environment(s *service, settings []string) []string {
	return append(append(os.Environ(),
		"OPERATIONS_LISTEN="+s.address, "OPERATIONS_ADMIN_LISTEN="+s.admin,
		"OPERATIONS_TLS_CERT="+t.ca.CertFile(operations.Name), "OPERATIONS_TLS_KEY="+t.ca.KeyFile(operations.Name),
		"OPERATIONS_TLS_CA="+t.ca.RootFile(),
		"OPERATIONS_DATABASE_URL="+t.postgres.As("operations_app", t.database),
		fmt.Sprintf("OPERATIONS_DATABASE_MAX_CONNS=%d", t.opts.conns),
		"OPERATIONS_DRAIN_GRACE=1ms", // there is no load balancer that has to notice
	), settings...)
}

func (s *service) start(env []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()                             // the child has a descriptor of its own
	s.process = exec.Command(self, serveArgument) //nolint:gosec,noctx // our own binary; stop stops it
	s.process.Env, s.process.Stderr = env, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return s.process.Start()
}

func (s *service) pid() int { return s.process.Process.Pid }

// runs returns the client of caller number n.
func (s *service) runs(n int) operationsv1.RunServiceClient {
	return operationsv1.NewRunServiceClient(s.conns[n%len(s.conns)])
}

// stop ends the service as its operator would.
func (s *service) stop() error {
	for _, conn := range s.conns {
		conn.Close()
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.process.Wait(); err != nil {
		return fmt.Errorf("the service: %w; its log is %s", err, s.log)
	}
	return nil
}

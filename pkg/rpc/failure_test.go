package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

func TestWhatACallerIsToldOfAFailure(t *testing.T) {
	t.Parallel()
	sql := func(code string) error {
		return fmt.Errorf("store: %w", &pgconn.PgError{Code: code, Message: "secret"})
	}
	tests := map[string]struct {
		err  error
		want codes.Code
	}{
		"the database shuts down":         {sql(sqlstate.AdminShutdown), codes.Unavailable},
		"the database crashed":            {sql(sqlstate.CrashShutdown), codes.Unavailable},
		"the database is starting":        {sql(sqlstate.CannotConnectNow), codes.Unavailable},
		"the database is full of people":  {sql(sqlstate.TooManyConnections), codes.Unavailable},
		"a connection failed":             {sql(sqlstate.ConnectionFailure), codes.Unavailable},
		"a serialization failure":         {sql(sqlstate.SerializationFailure), codes.Aborted},
		"a deadlock":                      {sql(sqlstate.DeadlockDetected), codes.Aborted},
		"a lock that is not free":         {sql(sqlstate.LockNotAvailable), codes.Aborted},
		"a statement that took too long":  {sql(sqlstate.QueryCanceled), codes.DeadlineExceeded},
		"a constraint nobody handled":     {sql(sqlstate.UniqueViolation), codes.Internal},
		"a wrong statement":               {sql(sqlstate.UndefinedTable), codes.Internal},
		"nobody listens":                  {&net.OpError{Op: "dial", Err: errors.New("refused")}, codes.Unavailable},
		"cut off":                         {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), codes.Unavailable},
		"out of time":                     {fmt.Errorf("query: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		"the caller went away":            {fmt.Errorf("query: %w", context.Canceled), codes.Canceled},
		"nothing where something was due": {io.EOF, codes.Internal},
		"anything else":                   {errors.New("secret"), codes.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := told(t.Context(), tt.err)
			require.Equal(t, tt.want, e.Code())
			require.NotContains(t, e.Message(), "secret")
			require.ErrorIs(t, e, tt.err, "the log must have the cause")
		})
	}
}

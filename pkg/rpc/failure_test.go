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
		"the database shuts down":         {sql("57P01"), codes.Unavailable},
		"the database crashed":            {sql("57P02"), codes.Unavailable},
		"the database is starting":        {sql("57P03"), codes.Unavailable},
		"the database is full of people":  {sql("53300"), codes.Unavailable},
		"a connection failed":             {sql("08006"), codes.Unavailable},
		"a serialization failure":         {sql("40001"), codes.Aborted},
		"a deadlock":                      {sql("40P01"), codes.Aborted},
		"a lock that is not free":         {sql("55P03"), codes.Aborted},
		"a statement that took too long":  {sql("57014"), codes.DeadlineExceeded},
		"a constraint nobody handled":     {sql("23505"), codes.Internal},
		"a wrong statement":               {sql("42P01"), codes.Internal},
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

package errs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func TestAnErrorMeansTheSameAfterACall(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  *errs.Error
		code codes.Code
	}{
		"invalid":         {errs.Invalid("selection.types[2]", "is %q", "x").And("limit", "is negative"), codes.InvalidArgument},
		"invalid, reason": {errs.Invalid("request_id", "was used").WithReason("REQUEST_ID_REUSED"), codes.InvalidArgument},
		"invalid, whole":  {errs.Invalid("", "is not JSON"), codes.InvalidArgument},
		"not found":       {errs.NotFound("run"), codes.NotFound},
		"exists":          {errs.Exists("NAME_TAKEN", "there is a workspace %q", "a"), codes.AlreadyExists},
		"conflict":        {errs.Conflict("RUN_COMPLETED", "run %d ended", 1).With("run_id", "1").With("outcome", "failed"), codes.FailedPrecondition},
		"aborted":         {errs.Aborted("LEASE_LOST", "lost"), codes.Aborted},
		"denied":          {errs.Denied("CAPABILITY_MISSING", "no").With("capability", "MANAGE"), codes.PermissionDenied},
		"unauthenticated": {errs.Unauthenticated("TOKEN", "who?"), codes.Unauthenticated},
		"exhausted":       {errs.Exhausted("RATE", 1500*time.Millisecond, "slower"), codes.ResourceExhausted},
		"too late":        {errs.TooLate("RESUME_TOKEN_TOO_OLD", "begin anew"), codes.OutOfRange},
		"unavailable":     {errs.Unavailable("DB", "later").RetryIn(time.Second), codes.Unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := tt.err.Wrap(errors.New("password=hunter2"))
			require.NotContains(t, sent.GRPCStatus().String(), "hunter2")
			require.Contains(t, sent.Error(), "hunter2", "the log must have the cause")
			got, ok := errs.As(errs.FromStatus(sent.GRPCStatus().Err()))
			require.True(t, ok)
			require.Equal(t, tt.code, got.Code())
			require.Equal(t, tt.err.Reason(), got.Reason())
			require.Equal(t, tt.err.Message(), got.Message())
			require.Equal(t, tt.err.Fields(), got.Fields())
			require.Equal(t, tt.err.Metadata(), got.Metadata())
			require.Equal(t, tt.err.RetryAfter(), got.RetryAfter())
		})
	}
}

func TestNotFoundIsTheSameBytesForEveryReason(t *testing.T) {
	t.Parallel()
	missing := errs.NotFound("run").Wrap(errors.New("no row")).GRPCStatus()
	foreign := errs.NotFound("run").Wrap(errors.New("not a member")).GRPCStatus()
	require.Equal(t, missing.Proto().String(), foreign.Proto().String())
}

func TestAChangeDoesNotTouchTheOriginal(t *testing.T) {
	t.Parallel()
	e := errs.Invalid("a", "is bad").With("k", "v")
	_ = e.With("k", "other").And("b", "is bad too").WithReason("X").RetryIn(1).Wrap(io.EOF)
	require.Equal(t, map[string]string{"k": "v"}, e.Metadata())
	require.Len(t, e.Fields(), 1)
	require.Equal(t, "INVALID_FIELD", e.Reason())
	require.NoError(t, e.Unwrap())
}

func TestAStatusOfTheTransportTellsNoSecrets(t *testing.T) {
	t.Parallel()
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		raw := status.Error(code, "dial tcp 10.0.0.7:7101: refused")
		err := errs.FromStatus(fmt.Errorf("ask operations: %w", raw))
		e, ok := errs.As(err)
		require.True(t, ok, code)
		require.NotContains(t, e.Message(), "10.0.0.7")
		require.NotEmpty(t, e.Reason())
		require.ErrorContains(t, err, "10.0.0.7", "the log must have it")
	}
}

func TestTheEndOfAContextCrossesACall(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, errs.FromStatus(status.Error(codes.Canceled, "x")), context.Canceled)
	require.ErrorIs(t, errs.FromStatus(status.Error(codes.DeadlineExceeded, "x")), context.DeadlineExceeded)
	require.NotErrorIs(t, errs.FromStatus(status.Error(codes.Unavailable, "x")), context.Canceled)
}

func TestOtherErrorsStayThemselves(t *testing.T) {
	t.Parallel()
	require.NoError(t, errs.FromStatus(nil))
	require.Equal(t, io.EOF, errs.FromStatus(io.EOF))
	require.Equal(t, codes.OK, errs.Code(nil))
	require.Equal(t, codes.Unknown, errs.Code(io.EOF))
	require.Empty(t, errs.Reason(io.EOF))
}

func TestWhatIsRelayed(t *testing.T) {
	t.Parallel()
	remote := func(e *errs.Error) error { return errs.FromStatus(e.GRPCStatus().Err()) }
	tests := map[string]struct {
		err  error
		want bool
	}{
		"ours":                                {errs.Conflict("A", "b"), true},
		"ours, wrapped":                       {fmt.Errorf("lock: %w", errs.Conflict("A", "b")), true},
		"another service's":                   {remote(errs.Conflict("A", "b")), true},
		"another service's fault":             {errs.FromStatus(status.Error(codes.Internal, "x")), false},
		"another service does not know us":    {remote(errs.Unauthenticated("A", "b")), false},
		"we do not know the caller":           {errs.Unauthenticated("A", "b"), true},
		"another service lacks the method":    {errs.FromStatus(status.Error(codes.Unimplemented, "x")), false},
		"a fault":                             {io.ErrUnexpectedEOF, false},
		"another service said data was lost ": {errs.FromStatus(status.Error(codes.DataLoss, "x")), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := errs.Relayed(tt.err)
			require.Equal(t, tt.want, got)
		})
	}
}

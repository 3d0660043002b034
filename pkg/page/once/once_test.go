package once_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

func migrate(ctx context.Context, ownerURL string) error {
	return once.Migrate(ctx, ownerURL, "demo_app")
}

func TestACallThatIsRepeatedHappensOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrate).Pool
	calls := 0
	do := func(workspaceID int64, r once.Request, fails error) (made int, err error) {
		err = pg.InTx(t.Context(), db, func(tx pgx.Tx) error {
			made, err = once.Do(t.Context(), tx, workspaceID, r, func() (int, error) { calls++; return calls, fails })
			return err
		})
		return made, err
	}
	r := once.Request{Caller: "gateway", ID: "r1", Digest: once.Digest([]byte("a"))}

	_, err := do(1, r, errors.New("out of luck"))
	require.Error(t, err)
	for range 2 {
		made, err := do(1, r, nil)
		require.NoError(t, err)
		require.Equal(t, 2, made, "a call that failed is not remembered, one that did not is")
	}
	other := r
	other.Digest = once.Digest([]byte("b"))
	_, err = do(1, other, nil)
	require.Equal(t, codes.InvalidArgument, errs.Code(err))
	require.Equal(t, "REQUEST_ID_REUSED", errs.Reason(err))

	other.Caller = "operator"
	for i, call := range []struct {
		workspaceID int64
		r           once.Request
	}{{1, other}, {2, r}, {0, r}, {1, once.Request{}}, {1, once.Request{}}} {
		made, err := do(call.workspaceID, call.r, nil)
		require.NoError(t, err)
		require.Equal(t, 3+i, made, "another caller, another workspace, no workspace, no request id")
	}
	made, err := do(0, r, nil)
	require.NoError(t, err)
	require.Equal(t, 5, made)
}

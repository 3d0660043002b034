package api_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// gateway speaks for nobody, as the gateway does before it knows whom.
func (w *world) gateway(t *testing.T) clients { return newClients(w.svc.Dial(t, "gateway")) }

func (w *world) token(t *testing.T, c clients) *tenancyv1.CreateApiTokenResponse {
	t.Helper()
	resp, err := c.CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{WorkspaceId: w.workspace.Id, DisplayName: "ci"})
	require.NoError(t, err)
	return resp
}

func TestTokenLifecycle(t *testing.T) {
	t.Parallel()
	w := setup(t)
	owner, gateway := w.as(t, w.owner.Id, actor.Owner), w.gateway(t)
	made := w.token(t, owner)
	require.Regexp(t, `^tenantpilot_[0-9A-Za-z]{11}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$`, made.Secret)
	require.Equal(t, tenancyv1.Role_ROLE_OWNER, made.ApiToken.MaxRole)
	require.WithinDuration(t, time.Now().AddDate(0, 0, 90), made.ApiToken.ExpireTime.AsTime(), time.Hour)
	require.Nil(t, made.ApiToken.LastUseTime)

	who, err := gateway.ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: made.Secret})
	require.NoError(t, err)
	require.Equal(t, w.owner.Id, who.User.Id)
	require.Equal(t, "Contoso owner", who.User.DisplayName)
	require.Equal(t, made.ApiToken.KeyId, who.KeyId)
	require.Len(t, who.Memberships, 1)
	require.Equal(t, w.workspace.Id, who.Memberships[0].WorkspaceId)
	require.Equal(t, tenancyv1.Role_ROLE_OWNER, who.Memberships[0].Role)

	revoke := &tenancyv1.RevokeApiTokenRequest{WorkspaceId: w.workspace.Id, ApiTokenId: made.ApiToken.Id}
	first, err := owner.RevokeApiToken(t.Context(), revoke)
	require.NoError(t, err)
	require.NotNil(t, first.ApiToken.LastUseTime)
	again, err := owner.RevokeApiToken(t.Context(), revoke)
	require.NoError(t, err)
	require.Equal(t, first.ApiToken.RevokeTime.AsTime(), again.ApiToken.RevokeTime.AsTime())
	_, err = gateway.ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: made.Secret})
	refused(t, err, codes.Unauthenticated, "TOKEN_INVALID")
	require.Equal(t, []string{"workspace.create", "api_token.create", "api_token.revoke"}, w.audited(t))
	require.NotContains(t, w.svc.Logs(), made.Secret)
}

// Whatever is wrong with a token, the answer is the same to the letter.
func TestInvalidTokensLookAlike(t *testing.T) {
	t.Parallel()
	w := setup(t)
	owner, gateway := w.as(t, w.owner.Id, actor.Owner), w.gateway(t)
	expired, unknown, wrong := w.token(t, owner).Secret, w.token(t, owner), w.token(t, owner)
	w.exec(t, `update api_token set created_at = now() - interval '2 days', expires_at = now() - interval '1 second' where id = 1`)
	w.exec(t, `update api_token set key_id = 'elsewhere' where id = $1`, unknown.ApiToken.Id)
	w.exec(t, `update api_token set secret_hash = sha256('other') where id = $1`, wrong.ApiToken.Id)

	tokens := map[string]string{
		"expired": expired, "unknown": unknown.Secret, "wrong secret": wrong.Secret,
		"malformed": "tenantpilot_x", "one letter off": expired[:len(expired)-1] + "!", "long": string(make([]byte, 0)) + "a b",
	}
	var answer string
	for name, text := range tokens {
		_, err := gateway.ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: text})
		got := refused(t, err, codes.Unauthenticated, "TOKEN_INVALID").GRPCStatus().Proto().String()
		if answer == "" {
			answer = got
		}
		require.Equal(t, answer, got, name)
	}
}

func TestTokenLastUseIsToTheMinute(t *testing.T) {
	t.Parallel()
	w := setup(t)
	gateway := w.gateway(t)
	made := w.token(t, w.as(t, w.owner.Id, actor.Owner))
	lastUse := func() (at time.Time) {
		_, err := gateway.ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: made.Secret})
		require.NoError(t, err)
		require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select last_used_at from api_token").Scan(&at))
		return at
	}
	first := lastUse()
	require.Equal(t, first, lastUse())
	w.exec(t, "update api_token set last_used_at = last_used_at - interval '61 seconds'")
	require.True(t, lastUse().After(first))
}

// A token is never more than its user is now, nor than it was made for.
func TestTokenIsLimited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_MANAGER)
	resp, err := w.as(t, m.UserId, actor.Manager).CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "ci", MaxRole: tenancyv1.Role_ROLE_OPERATOR,
	})
	require.NoError(t, err)
	role := func() tenancyv1.Role {
		who, err := w.gateway(t).ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: resp.Secret})
		require.NoError(t, err)
		return who.Memberships[0].Role
	}
	require.Equal(t, tenancyv1.Role_ROLE_OPERATOR, role())
	_, err = w.operator.UpdateMember(t.Context(), &tenancyv1.UpdateMemberRequest{
		WorkspaceId: w.workspace.Id, UserId: m.UserId, Role: tenancyv1.Role_ROLE_READONLY,
	})
	require.NoError(t, err)
	require.Equal(t, tenancyv1.Role_ROLE_READONLY, role())
}

func TestCreateApiTokenRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_OPERATOR)
	none := int64(987654321)
	tests := map[string]struct {
		by     int64
		role   actor.Role
		ask    *tenancyv1.CreateApiTokenRequest
		code   codes.Code
		reason string
	}{
		"more than a year": {w.owner.Id, actor.Owner, &tenancyv1.CreateApiTokenRequest{
			ExpireTime: timestamppb.New(time.Now().AddDate(0, 0, 366)),
		}, codes.InvalidArgument, "INVALID_FIELD"},
		"in the past": {w.owner.Id, actor.Owner, &tenancyv1.CreateApiTokenRequest{
			ExpireTime: timestamppb.New(time.Now().Add(-time.Minute)),
		}, codes.InvalidArgument, "INVALID_FIELD"},
		"no time": {w.owner.Id, actor.Owner, &tenancyv1.CreateApiTokenRequest{
			ExpireTime: &timestamppb.Timestamp{Seconds: 1 << 60},
		}, codes.InvalidArgument, "INVALID_FIELD"},
		"above own role": {m.UserId, actor.Operator, &tenancyv1.CreateApiTokenRequest{
			MaxRole: tenancyv1.Role_ROLE_MANAGER,
		}, codes.PermissionDenied, "ROLE_ABOVE_OWN"},
		"above the user's role": {w.owner.Id, actor.Owner, &tenancyv1.CreateApiTokenRequest{
			UserId: &m.UserId, MaxRole: tenancyv1.Role_ROLE_MANAGER,
		}, codes.PermissionDenied, "ROLE_ABOVE_OWN"},
		"by a lesser token": {w.owner.Id, actor.Readonly, &tenancyv1.CreateApiTokenRequest{
			MaxRole: tenancyv1.Role_ROLE_OWNER,
		}, codes.PermissionDenied, "ROLE_ABOVE_OWN"},
		"for another, not as owner": {m.UserId, actor.Operator, &tenancyv1.CreateApiTokenRequest{
			UserId: &w.owner.Id,
		}, codes.PermissionDenied, "CAPABILITY_MISSING"},
		"for no member": {w.owner.Id, actor.Owner, &tenancyv1.CreateApiTokenRequest{
			UserId: &none,
		}, codes.NotFound, "NOT_FOUND"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.ask.WorkspaceId, test.ask.DisplayName = w.workspace.Id, "ci"
			_, err := w.as(t, test.by, test.role).CreateApiToken(t.Context(), test.ask)
			refused(t, err, test.code, test.reason)
		})
	}
}

// Tokens of others are there for owners only.
func TestTokensOfOthers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_MANAGER)
	owner, manager := w.as(t, w.owner.Id, actor.Owner), w.as(t, m.UserId, actor.Manager)
	owners, managers := w.token(t, owner).ApiToken, w.token(t, manager).ApiToken
	ids := func(c clients) (out []int64) {
		resp, err := c.ListApiTokens(t.Context(), &tenancyv1.ListApiTokensRequest{WorkspaceId: w.workspace.Id})
		require.NoError(t, err)
		for _, one := range resp.ApiTokens {
			out = append(out, one.Id)
		}
		return out
	}
	require.Equal(t, []int64{owners.Id, managers.Id}, ids(owner))
	require.Equal(t, []int64{managers.Id}, ids(manager))

	_, err := manager.RevokeApiToken(t.Context(), &tenancyv1.RevokeApiTokenRequest{WorkspaceId: w.workspace.Id, ApiTokenId: owners.Id})
	refused(t, err, codes.NotFound, "NOT_FOUND")
	_, err = owner.RevokeApiToken(t.Context(), &tenancyv1.RevokeApiTokenRequest{WorkspaceId: w.workspace.Id, ApiTokenId: managers.Id})
	require.NoError(t, err)
	_, err = w.operator.CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{WorkspaceId: w.workspace.Id, DisplayName: "whose?"})
	require.Equal(t, "user_id", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)
}

package actor_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

func someone() actor.Actor {
	return actor.Actor{
		UserID: 7, Name: "Ada", TokenID: "t1",
		Memberships: []actor.Membership{{WorkspaceID: 1, Role: actor.Owner}, {WorkspaceID: 2, Role: actor.Readonly}},
	}
}

func keys(t *testing.T) (dir string, signer *actor.Signer, verifier *actor.Verifier) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, devca.ActorKey(dir))
	signer, err := actor.NewSigner(filepath.Join(dir, "actor-key.pem"))
	require.NoError(t, err)
	verifier, err = actor.NewVerifier(filepath.Join(dir, "actor-pub.pem"))
	require.NoError(t, err)
	return dir, signer, verifier
}

func TestATokenSaysWhoItIs(t *testing.T) {
	t.Parallel()
	_, signer, verifier := keys(t)
	token, err := signer.Sign(someone(), time.Now())
	require.NoError(t, err)
	got, err := verifier.Verify(token)
	require.NoError(t, err)
	require.Equal(t, someone(), got)
}

func TestATokenIsGoodForAMinuteAndNoClockIsTrustedFar(t *testing.T) {
	t.Parallel()
	_, signer, verifier := keys(t)
	for age, good := range map[time.Duration]bool{
		0: true, 59 * time.Second: true, 125 * time.Second: false, time.Hour: false, -20 * time.Second: true, -2 * time.Minute: false,
	} {
		token, err := signer.Sign(someone(), time.Now().Add(-age))
		require.NoError(t, err)
		_, err = verifier.Verify(token)
		require.Equal(t, good, err == nil, "%s old: %v", age, err)
	}
}

func TestAForgedTokenIsRefused(t *testing.T) {
	t.Parallel()
	dir, signer, verifier := keys(t)
	_, stranger, _ := keys(t)
	good, err := signer.Sign(someone(), time.Now())
	require.NoError(t, err)
	foreign, err := stranger.Sign(someone(), time.Now())
	require.NoError(t, err)
	part := strings.Split(good, ".")
	header, err := base64.RawURLEncoding.DecodeString(part[0])
	require.NoError(t, err)
	none := base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(header), "EdDSA", "none")))
	public, err := os.ReadFile(filepath.Join(dir, "actor-pub.pem"))
	require.NoError(t, err)
	confused := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "tenantpilot-gateway", "aud": "tenantpilot", "sub": "7", "exp": time.Now().Add(time.Minute).Unix()})
	hmac, err := confused.SignedString(public)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"empty": "", "noise": "a.b.c", "another key": foreign, "no signature": part[0] + "." + part[1] + ".",
		"alg none": none + "." + part[1] + ".", "the public key as a secret": hmac,
		"other claims": part[0] + "." + strings.Split(foreign, ".")[1] + "." + part[2],
	} {
		_, err := verifier.Verify(token)
		require.Equal(t, codes.Unauthenticated, errs.Code(err), name)
		require.Equal(t, "ACTOR_TOKEN_INVALID", errs.Reason(err), name)
	}
	nobody, err := actor.NewVerifier()
	require.NoError(t, err)
	_, err = nobody.Verify(good)
	require.Error(t, err, "a verifier without keys trusts nobody")
}

func TestAKeyThatEverybodyCanReadIsRefused(t *testing.T) {
	t.Parallel()
	dir, _, _ := keys(t)
	file := filepath.Join(dir, "actor-key.pem")
	require.NoError(t, os.Chmod(file, 0o604)) //nolint:gosec // that is the point
	_, err := actor.NewSigner(file)
	require.ErrorContains(t, err, "readable by everyone")
	_, err = actor.NewVerifier(file)
	require.Error(t, err, "a private key is not a public key")
}

func TestWhatRolesAllow(t *testing.T) {
	t.Parallel()
	for role, most := range map[actor.Role]actor.Capability{
		actor.Readonly: actor.View, actor.Operator: actor.Operate, actor.Manager: actor.Manage, actor.Owner: actor.Administer, "": 0, "root": 0,
	} {
		for c := actor.Capability(0); c <= actor.Administer+1; c++ {
			require.Equal(t, c >= actor.View && c <= most, role.Allows(c), "%s %s", role, c)
		}
		require.Equal(t, most > 0, role.Valid())
	}
}

func TestOperatingThePlatformIsNoMembership(t *testing.T) {
	t.Parallel()
	_, member := actor.Actor{UserID: 1, Operator: true}.Role(1)
	require.False(t, member)
}

func TestTheActorTravelsOnTheContext(t *testing.T) {
	t.Parallel()
	_, there := actor.From(t.Context())
	require.False(t, there)
	ctx := actor.WithToken(t.Context(), someone(), "signed")
	got, there := actor.From(ctx)
	require.True(t, there)
	require.Equal(t, someone(), got)
	require.Equal(t, "signed", actor.TokenFrom(ctx))
	require.Empty(t, actor.TokenFrom(actor.With(ctx, someone())), "another actor, another token")
}

package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

func identity(subject string) *tenancyv1.Identity {
	return &tenancyv1.Identity{Issuer: "https://login.example/9a1f6c1e/v2.0", Subject: subject}
}

// imported is a world with workspaces 7 and 8: Ada (1) owns both, Grace (2)
// operates 7, Eve (3) belongs nowhere.
func imported(t *testing.T) (w *world, in, who map[int64]int64) {
	t.Helper()
	w = setup(t)
	tool := w.takeover(t)
	in, who = imports(t, tool)
	_, err := tool.ImportMembers(t.Context(), members(
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_OWNER},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 8, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_OWNER},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 2, Role: tenancyv1.Role_ROLE_OPERATOR},
	))
	require.NoError(t, err)
	return w, in, who
}

func claimOf(workspaceID, userID int64, subject string) *tenancyv1.ClaimUserRequest {
	return &tenancyv1.ClaimUserRequest{WorkspaceId: workspaceID, UserId: userID, Identity: identity(subject)}
}

func (w *world) tokenOf(t *testing.T, workspaceID, userID int64) (*tenancyv1.CreateApiTokenResponse, error) {
	t.Helper()
	return w.operator.CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{WorkspaceId: workspaceID, DisplayName: "ci", UserId: &userID})
}

func TestClaimUser(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	_, err := w.tokenOf(t, in[7], who[1])
	require.Contains(t, refused(t, err, codes.FailedPrecondition, "USER_UNCLAIMED").Message(), "ClaimUser")

	first, err := w.operator.ClaimUser(t.Context(), claimOf(in[7], who[1], "ada-1"))
	require.NoError(t, err)
	require.True(t, first.Member.Claimed)
	require.EqualValues(t, 1, first.Member.GetLegacyId())
	require.Equal(t, identity("ada-1").String(), first.Member.Identity.String())
	again, err := w.operator.ClaimUser(t.Context(), claimOf(in[8], who[1], "ada-1"))
	require.NoError(t, err, "the same identity, from wherever they belong to")
	require.Equal(t, identity("ada-1").String(), again.Member.Identity.String())
	_, err = w.operator.ClaimUser(t.Context(), claimOf(in[7], who[1], "mallory"))
	refused(t, err, codes.FailedPrecondition, "USER_CLAIMED")

	made, err := w.tokenOf(t, in[7], who[1])
	require.NoError(t, err)
	resp, err := w.gateway(t).ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: made.Secret})
	require.NoError(t, err)
	require.Equal(t, who[1], resp.User.Id)

	// Ada, who is somebody now, claims Grace.
	ada := w.in(t, who[1], actor.Membership{WorkspaceID: in[7], Role: actor.Owner})
	_, err = ada.ClaimUser(t.Context(), claimOf(in[7], who[2], "ada-1"))
	refused(t, err, codes.AlreadyExists, "IDENTITY_TAKEN")
	_, err = ada.ClaimUser(t.Context(), claimOf(in[7], who[2], "grace-1"))
	require.NoError(t, err)
	list, err := ada.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: in[7]})
	require.NoError(t, err)
	require.True(t, list.Members[1].Claimed)
	require.Equal(t, "grace-1", list.Members[1].Identity.Subject)

	actions := w.audited(t)
	require.Equal(t, []string{"user.claim", "api_token.create", "user.claim"}, actions[len(actions)-3:])
}

func TestClaimUserRefused(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	tests := map[string]struct {
		workspace, user int64
		subject         string
		code            codes.Code
		reason          string
	}{
		"an e-mail address": {in[7], who[1], "ada@contoso.example", codes.InvalidArgument, "INVALID_FIELD"},
		"no subject":        {in[7], who[1], "", codes.InvalidArgument, "INVALID_FIELD"},
		"no member here":    {in[8], who[2], "x", codes.NotFound, "NOT_FOUND"},
		"member of nothing": {in[7], who[3], "x", codes.NotFound, "NOT_FOUND"},
		"no user":           {in[7], 987654321, "x", codes.NotFound, "NOT_FOUND"},
		"no workspace":      {987654321, who[1], "x", codes.NotFound, "NOT_FOUND"},
		"made here":         {w.workspace.Id, w.owner.Id, "x", codes.FailedPrecondition, "USER_CLAIMED"},
	}
	for name, test := range tests {
		_, err := w.operator.ClaimUser(t.Context(), claimOf(test.workspace, test.user, test.subject))
		require.Error(t, err, name)
		refused(t, err, test.code, test.reason)
	}
	_, err := w.operator.ClaimUser(t.Context(), &tenancyv1.ClaimUserRequest{WorkspaceId: in[7], UserId: who[1]})
	require.Equal(t, "identity", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)
	manager := w.as(t, w.owner.Id, actor.Manager)
	_, err = manager.ClaimUser(t.Context(), claimOf(w.workspace.Id, w.owner.Id, "x"))
	refused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING")
}

// An owner does not become, through a user both share, somebody in a workspace
// of others.
func TestClaimDoesNotReachAcross(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	seven, eve := in[7], who[3]
	mallory, err := w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{WorkspaceId: seven, DisplayName: "Mallory", Role: tenancyv1.Role_ROLE_OWNER})
	require.NoError(t, err)
	owner := w.in(t, mallory.Member.UserId, actor.Membership{WorkspaceID: seven, Role: actor.Owner})
	_, err = owner.ClaimUser(t.Context(), claimOf(seven, who[1], "mallory-2"))
	refused(t, err, codes.PermissionDenied, "USER_BELONGS_ELSEWHERE")

	// Nor by claiming first, and being imported there later.
	_, err = w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{WorkspaceId: seven, UserId: &eve, Role: tenancyv1.Role_ROLE_READONLY})
	require.NoError(t, err)
	_, err = owner.ClaimUser(t.Context(), claimOf(seven, eve, "mallory-2"))
	require.NoError(t, err)
	resp, err := w.takeover(t).ImportMembers(t.Context(), members(
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 8, LegacyUserId: 3, Role: tenancyv1.Role_ROLE_OWNER}))
	require.NoError(t, err)
	require.Equal(t, []string{"8/3 refused USER_CLAIMED "}, joined(resp.Results))
}

// Nobody acts as a user whom nobody has claimed, by whatever way.
func TestNobodyActsUnclaimed(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	ada := w.in(t, who[1], actor.Membership{WorkspaceID: in[7], Role: actor.Owner})
	_, err := ada.AddMember(t.Context(), &tenancyv1.AddMemberRequest{WorkspaceId: in[7], DisplayName: "X", Role: tenancyv1.Role_ROLE_OWNER})
	refused(t, err, codes.FailedPrecondition, "USER_UNCLAIMED")
	_, err = ada.ClaimUser(t.Context(), claimOf(in[7], who[1], "ada-1"))
	refused(t, err, codes.FailedPrecondition, "USER_UNCLAIMED")
	_, err = ada.CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{WorkspaceId: in[7], DisplayName: "ci"})
	refused(t, err, codes.FailedPrecondition, "USER_UNCLAIMED")

	made := w.token(t, w.as(t, w.owner.Id, actor.Owner))
	w.exec(t, "update app_user set legacy_id = 99, claimed_at = null where id = $1", w.owner.Id)
	_, err = w.gateway(t).ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: made.Secret})
	refused(t, err, codes.Unauthenticated, "TOKEN_INVALID")
}

// An owner nobody has claimed cannot stand in for the last one who can act.
func TestUnclaimedOwnerIsNoLastOwner(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	remove := func(userID int64) error {
		_, err := w.operator.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: in[7], UserId: userID})
		return err
	}
	refused(t, remove(who[1]), codes.FailedPrecondition, "LAST_OWNER")
	_, err := w.operator.UpdateMember(t.Context(), &tenancyv1.UpdateMemberRequest{WorkspaceId: in[7], UserId: who[2], Role: tenancyv1.Role_ROLE_OWNER})
	require.NoError(t, err)
	_, err = w.operator.ClaimUser(t.Context(), claimOf(in[7], who[2], "grace-1"))
	require.NoError(t, err)
	refused(t, remove(who[2]), codes.FailedPrecondition, "LAST_OWNER")
	require.NoError(t, remove(who[1]), "the unclaimed one may go")
	refused(t, remove(who[2]), codes.FailedPrecondition, "LAST_OWNER")
}

// Whoever was claimed here may come back here.
func TestClaimedUserComesBack(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	grace := who[2]
	_, err := w.operator.ClaimUser(t.Context(), claimOf(in[7], who[1], "ada-1"))
	require.NoError(t, err)
	_, err = w.operator.ClaimUser(t.Context(), claimOf(in[7], grace, "grace-1"))
	require.NoError(t, err)
	ada := w.in(t, who[1], actor.Membership{WorkspaceID: in[7], Role: actor.Owner})
	_, err = ada.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: in[7], UserId: grace})
	require.NoError(t, err)
	back, err := ada.AddMember(t.Context(), &tenancyv1.AddMemberRequest{WorkspaceId: in[7], UserId: &grace, Role: tenancyv1.Role_ROLE_READONLY})
	require.NoError(t, err)
	require.True(t, back.Member.Claimed)
}

func TestClaimUserOnce(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	ask := claimOf(in[7], who[1], "ada-1")
	ask.RequestId = "c1"
	claimed := twenty(t, func() (int64, error) {
		resp, err := w.operator.ClaimUser(t.Context(), ask)
		return resp.GetMember().GetUserId(), err
	})
	require.Equal(t, map[int64]bool{who[1]: true}, claimed)
	ask.Identity = identity("other")
	_, err := w.operator.ClaimUser(t.Context(), ask)
	refused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
}

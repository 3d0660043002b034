package api_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func TestAddMember(t *testing.T) {
	t.Parallel()
	w := setup(t)
	owner := w.as(t, w.owner.Id, actor.Owner)
	resp, err := owner.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Grace", Email: "grace@contoso.example", Role: tenancyv1.Role_ROLE_OPERATOR,
	})
	require.NoError(t, err)
	require.Equal(t, "Grace", resp.Member.DisplayName)
	require.Equal(t, "grace@contoso.example", resp.Member.Email)
	require.Equal(t, tenancyv1.Role_ROLE_OPERATOR, resp.Member.Role)
	require.Equal(t, []string{"workspace.create", "member.add"}, w.audited(t))

	again := &tenancyv1.AddMemberRequest{WorkspaceId: w.workspace.Id, UserId: &resp.Member.UserId, Role: tenancyv1.Role_ROLE_OWNER}
	_, err = owner.AddMember(t.Context(), again)
	refused(t, err, codes.AlreadyExists, "MEMBER_EXISTS")

	again.DisplayName = "Other"
	_, err = owner.AddMember(t.Context(), again)
	require.Equal(t, "display_name", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)

	_, err = w.as(t, w.owner.Id, actor.Manager).AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Eve", Role: tenancyv1.Role_ROLE_READONLY,
	})
	refused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING")
}

// A user of somebody else's workspace does not exist here: adding them by
// number would tell their name.
func TestAddMemberCannotReachAcross(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, stranger := w.found(t, "Northwind")
	owner := w.as(t, w.owner.Id, actor.Owner)
	_, err := owner.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, UserId: &stranger.Id, Role: tenancyv1.Role_ROLE_READONLY,
	})
	foreign := refused(t, err, codes.NotFound, "NOT_FOUND")
	none := int64(987654321)
	_, err = owner.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, UserId: &none, Role: tenancyv1.Role_ROLE_READONLY,
	})
	require.Equal(t, foreign.Message(), refused(t, err, codes.NotFound, "NOT_FOUND").Message())

	_, err = w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, UserId: &stranger.Id, Role: tenancyv1.Role_ROLE_READONLY,
	})
	require.NoError(t, err, "the platform's operator knows every user")
}

// Who was once made here may come back.
func TestAddMemberAgainAfterLeaving(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_OPERATOR)
	owner := w.as(t, w.owner.Id, actor.Owner)
	_, err := owner.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: w.workspace.Id, UserId: m.UserId})
	require.NoError(t, err)
	back, err := owner.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, UserId: &m.UserId, Role: tenancyv1.Role_ROLE_READONLY,
	})
	require.NoError(t, err)
	require.Equal(t, m.DisplayName, back.Member.DisplayName)
}

func TestUpdateMember(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_READONLY)
	owner := w.as(t, w.owner.Id, actor.Owner)
	set := func(c clients, userID int64, role tenancyv1.Role) (*tenancyv1.UpdateMemberResponse, error) {
		return c.UpdateMember(t.Context(), &tenancyv1.UpdateMemberRequest{WorkspaceId: w.workspace.Id, UserId: userID, Role: role})
	}
	resp, err := set(owner, m.UserId, tenancyv1.Role_ROLE_OWNER)
	require.NoError(t, err)
	require.Equal(t, tenancyv1.Role_ROLE_OWNER, resp.Member.Role)

	_, err = set(owner, w.owner.Id, tenancyv1.Role_ROLE_MANAGER)
	refused(t, err, codes.PermissionDenied, "OWN_ROLE")

	resp, err = set(w.as(t, m.UserId, actor.Owner), w.owner.Id, tenancyv1.Role_ROLE_MANAGER)
	require.NoError(t, err, "another owner may")
	require.Equal(t, tenancyv1.Role_ROLE_MANAGER, resp.Member.Role)

	_, err = set(w.operator, m.UserId, tenancyv1.Role_ROLE_MANAGER)
	refused(t, err, codes.FailedPrecondition, "LAST_OWNER")
	_, err = set(w.operator, 987654321, tenancyv1.Role_ROLE_MANAGER)
	refused(t, err, codes.NotFound, "NOT_FOUND")
	_, err = set(w.operator, m.UserId, tenancyv1.Role_ROLE_UNSPECIFIED)
	require.Equal(t, "role", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)

	_, err = set(owner, m.UserId, tenancyv1.Role_ROLE_READONLY)
	refused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING") // a token signed before the demotion
}

func TestRemoveMember(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := w.member(t, tenancyv1.Role_ROLE_MANAGER)
	made, err := w.operator.CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "ci", UserId: &m.UserId,
	})
	require.NoError(t, err)
	remove := func(userID int64) error {
		_, err := w.operator.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: w.workspace.Id, UserId: userID})
		return err
	}
	refused(t, remove(w.owner.Id), codes.FailedPrecondition, "LAST_OWNER")
	require.NoError(t, remove(m.UserId))
	refused(t, remove(m.UserId), codes.NotFound, "NOT_FOUND")

	_, err = w.gateway(t).ResolveApiToken(t.Context(), &tenancyv1.ResolveApiTokenRequest{Token: made.Secret})
	refused(t, err, codes.Unauthenticated, "TOKEN_INVALID")
	tokens, err := w.operator.ListApiTokens(t.Context(), &tenancyv1.ListApiTokensRequest{WorkspaceId: w.workspace.Id})
	require.NoError(t, err)
	require.NotNil(t, tokens.ApiTokens[0].RevokeTime, "the token stays dead should the member come back")
}

// Two owners who remove each other at once: one stays.
func TestLastOwnerRace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 10 {
		m := w.member(t, tenancyv1.Role_ROLE_OWNER)
		pair := [][2]int64{{w.owner.Id, m.UserId}, {m.UserId, w.owner.Id}}
		var group sync.WaitGroup
		for _, p := range pair {
			c := w.as(t, p[0], actor.Owner)
			group.Go(func() {
				_, err := c.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: w.workspace.Id, UserId: p[1]})
				if err != nil && errs.Code(err) != codes.FailedPrecondition && errs.Code(err) != codes.NotFound {
					t.Errorf("remove: %v", err)
				}
			})
		}
		group.Wait()
		members, err := w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: w.workspace.Id})
		require.NoError(t, err)
		require.Len(t, members.Members, 1)
		w.owner = &tenancyv1.User{Id: members.Members[0].UserId}
	}
}

package api_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func members(m ...*tenancyv1.LegacyMember) *tenancyv1.ImportMembersRequest {
	return &tenancyv1.ImportMembersRequest{Members: m}
}

func TestImportMembers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	in, who := imports(t, tool)
	ask := members(
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_OWNER},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 2, Role: tenancyv1.Role_ROLE_READONLY},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 8, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_MANAGER},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 9, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_OWNER},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 9, Role: tenancyv1.Role_ROLE_OWNER},
		&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 2},
	)
	problems := []string{
		"9/1 refused INVALID_FIELD legacy_workspace_id", "7/9 refused INVALID_FIELD legacy_user_id", "7/2 refused INVALID_FIELD role",
	}
	first, err := tool.ImportMembers(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, append([]string{"7/1 created ROLE_OWNER", "7/2 created ROLE_READONLY", "8/1 created ROLE_MANAGER"}, problems...), joined(first.Results))
	require.Equal(t, in[7], first.Results[1].WorkspaceId)
	require.Equal(t, who[2], first.Results[1].UserId)

	// A role changed here stays; who was removed here does not come back.
	_, err = w.operator.UpdateMember(t.Context(), &tenancyv1.UpdateMemberRequest{WorkspaceId: in[7], UserId: who[2], Role: tenancyv1.Role_ROLE_OPERATOR})
	require.NoError(t, err)
	_, err = w.operator.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: in[8], UserId: who[1]})
	require.NoError(t, err)
	for range 2 {
		again, err := tool.ImportMembers(t.Context(), ask)
		require.NoError(t, err)
		require.Equal(t, append([]string{"7/1 found ROLE_OWNER", "7/2 found ROLE_OPERATOR", "8/1 found ROLE_UNSPECIFIED"}, problems...), joined(again.Results))
	}
	list, err := w.operator.ListMembers(t.Context(), &tenancyv1.ListMembersRequest{WorkspaceId: in[8]})
	require.NoError(t, err)
	require.Empty(t, list.Members)
}

// imports brings workspaces 7 and 8 and users 1, 2 and 3, and returns their ids.
func imports(t *testing.T, tool clients) (in, who map[int64]int64) {
	t.Helper()
	ws, err := tool.ImportWorkspaces(t.Context(), workspaces(
		&tenancyv1.LegacyWorkspace{LegacyId: 7, DisplayName: "Seven"}, &tenancyv1.LegacyWorkspace{LegacyId: 8, DisplayName: "Eight"}))
	require.NoError(t, err)
	us, err := tool.ImportUsers(t.Context(), users(
		&tenancyv1.LegacyUser{LegacyId: 1, DisplayName: "Ada", Email: "ada@contoso.example"},
		&tenancyv1.LegacyUser{LegacyId: 2, DisplayName: "Grace"}, &tenancyv1.LegacyUser{LegacyId: 3, DisplayName: "Eve"}))
	require.NoError(t, err)
	return ids(ws.Results), ids(us.Results)
}

// joined is what became of members, a line each: "7/1 created ROLE_OWNER".
func joined(results []*tenancyv1.ImportMemberResult) (lines []string) {
	for _, r := range results {
		what := fmt.Sprintf("%s %s", outcome(r.Outcome), r.Role)
		if r.Error != nil {
			what = refusal(r.Error)
		}
		lines = append(lines, fmt.Sprintf("%d/%d %s", r.LegacyWorkspaceId, r.LegacyUserId, what))
	}
	return lines
}

// A member made here by hand keeps the role given by hand.
func TestImportMemberMadeHere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	in, who := imports(t, tool)
	ada := who[1]
	_, err := w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{WorkspaceId: in[7], UserId: &ada, Role: tenancyv1.Role_ROLE_READONLY})
	require.NoError(t, err)
	ask := members(&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_OWNER})
	resp, err := tool.ImportMembers(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, []string{"7/1 found ROLE_READONLY"}, joined(resp.Results))
	_, err = w.operator.RemoveMember(t.Context(), &tenancyv1.RemoveMemberRequest{WorkspaceId: in[7], UserId: ada})
	require.NoError(t, err)
	resp, err = tool.ImportMembers(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, []string{"7/1 found ROLE_UNSPECIFIED"}, joined(resp.Results))
}

// Imports, claims and changes of members at the same time wait for each other,
// and never in a circle.
func TestImportAmongOtherChanges(t *testing.T) {
	t.Parallel()
	w, in, who := imported(t)
	tool := w.takeover(t)
	ask := members()
	for i := range int64(30) {
		ask.Members = append(ask.Members, &tenancyv1.LegacyMember{LegacyWorkspaceId: 7 + i%2, LegacyUserId: 3 - i%3, Role: tenancyv1.Role_ROLE_OWNER})
	}
	var turn atomic.Int64
	twenty(t, func() (int64, error) {
		n := turn.Add(1)
		place, user := in[7+n%2], who[1+n%3]
		switch n % 4 {
		case 0:
			_, err := tool.ImportMembers(t.Context(), ask)
			return 0, err
		case 1:
			_, err := w.operator.ClaimUser(t.Context(), claimOf(place, user, fmt.Sprint("user-", user)))
			return 0, unless(err, codes.NotFound)
		case 2:
			_, err := w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{WorkspaceId: place, UserId: &user, Role: tenancyv1.Role_ROLE_MANAGER})
			return 0, unless(err, codes.AlreadyExists)
		}
		_, err := w.operator.UpdateMember(t.Context(), &tenancyv1.UpdateMemberRequest{WorkspaceId: place, UserId: user, Role: tenancyv1.Role_ROLE_OWNER})
		return 0, unless(err, codes.NotFound)
	})
}

// unless is err, but for the one code that the order of calls may make.
func unless(err error, expected codes.Code) error {
	if errs.Code(err) == expected {
		return nil
	}
	return err
}

package workspace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

func TestNewIdentity(t *testing.T) {
	t.Parallel()
	const issuer = "https://login.microsoftonline.com/9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90/v2.0"
	tests := map[string]struct{ issuer, subject, field string }{
		"entra":             {issuer, "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", ""},
		"a number":          {"https://accounts.google.com", "110169484474386276334", ""},
		"with a bar":        {"https://idp.example/", "auth0|5f7c8ec7c33c6c004bbafe82", ""},
		"an e-mail address": {issuer, "ada@contoso.example", "identity.subject"},
		"a blank":           {issuer, "a b", "identity.subject"},
		"a control":         {issuer, "a\x1b", "identity.subject"},
		"not ASCII":         {issuer, "ada–1", "identity.subject"},
		"in the clear":      {"http://idp.example", "1", "identity.issuer"},
		"no address":        {"contoso", "1", "identity.issuer"},
		"no host":           {"https:///x", "1", "identity.issuer"},
		"a query":           {"https://idp.example?x=1", "1", "identity.issuer"},
		"a fragment":        {"https://idp.example#", "1", "identity.issuer"},
		"a password":        {"https://u:p@idp.example", "1", "identity.issuer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := workspace.NewIdentity(test.issuer, test.subject)
			if test.field == "" {
				require.NoError(t, err)
				require.Equal(t, workspace.Identity{Issuer: test.issuer, Subject: test.subject}, id)
				return
			}
			e, ok := errs.As(err)
			require.True(t, ok)
			require.Equal(t, test.field, e.Fields()[0].Path)
		})
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	now, legacy := time.Now(), int64(5)
	ada, eve := workspace.Identity{Issuer: "https://idp.example", Subject: "ada"}, workspace.Identity{Issuer: "https://idp.example", Subject: "eve"}
	tests := map[string]struct {
		claimedAt *time.Time
		has       workspace.Identity
		legacy    *int64
		by        int64
		elsewhere bool
		moved     bool
		reason    string
	}{
		"imported":                          {legacy: &legacy, by: 1, moved: true},
		"imported, belongs elsewhere":       {legacy: &legacy, by: 1, elsewhere: true, reason: "USER_BELONGS_ELSEWHERE"},
		"the same, by the operator":         {legacy: &legacy, elsewhere: true, moved: true},
		"claimed, the same":                 {claimedAt: &now, has: ada, legacy: &legacy, by: 1},
		"claimed, the same, elsewhere":      {claimedAt: &now, has: ada, legacy: &legacy, by: 1, elsewhere: true},
		"claimed, another":                  {claimedAt: &now, has: eve, legacy: &legacy, by: 1, reason: "USER_CLAIMED"},
		"claimed, another, by the operator": {claimedAt: &now, has: eve, legacy: &legacy, reason: "USER_CLAIMED"},
		"made here":                         {claimedAt: &now, by: 1, reason: "USER_CLAIMED"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := workspace.Member{ClaimedAt: test.claimedAt, Issuer: test.has.Issuer, Subject: test.has.Subject, LegacyID: test.legacy}
			moved, err := m.Claim(workspace.By{UserID: test.by, Role: workspace.Owner}, ada, test.elsewhere)
			require.Equal(t, test.reason, errs.Reason(err))
			require.Equal(t, test.moved, moved)
			if moved {
				test.has = ada
			}
			require.Equal(t, test.has, m.Identity())
		})
	}
}

func TestLegacyName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ž", 300)
	tests := map[string]struct{ text, want string }{
		"as it is":     {"Contoso", "Contoso"},
		"blanks":       {"  Contoso\t\n", "Contoso"},
		"lines":        {"Contoso\nLtd", "Contoso Ltd"},
		"nothing":      {"", "Tenant (legacy 17)"},
		"only blanks":  {" \t ", "Tenant (legacy 17)"},
		"too long":     {long, long[:400]},
		"a blank left": {strings.Repeat("x", 199) + " y", strings.Repeat("x", 199)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := workspace.LegacyName("Tenant", test.text, 17)
			require.Equal(t, test.want, got)
			for _, made := range []string{got, workspace.Apart(got, 17), workspace.Apart(got, 1<<62)} {
				same, err := workspace.Name("display_name", made)
				require.NoError(t, err)
				require.Equal(t, made, same)
			}
		})
	}
	require.Equal(t, "Contoso (legacy 17)", workspace.Apart("Contoso", 17))
}

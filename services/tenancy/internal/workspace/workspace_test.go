package workspace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

func TestSetRole(t *testing.T) {
	t.Parallel()
	const own, other = int64(1), int64(2)
	tests := map[string]struct {
		by     workspace.Role
		user   int64
		has    workspace.Role
		gets   workspace.Role
		owners int
		moved  bool
		reason string
	}{
		"up to own":            {workspace.Owner, other, workspace.Readonly, workspace.Owner, 1, true, ""},
		"above own":            {workspace.Manager, other, workspace.Readonly, workspace.Owner, 1, false, "ROLE_ABOVE_OWN"},
		"as it is":             {workspace.Owner, other, workspace.Manager, workspace.Manager, 1, false, ""},
		"one owner of two":     {workspace.Owner, other, workspace.Owner, workspace.Manager, 2, true, ""},
		"the last owner":       {workspace.Owner, other, workspace.Owner, workspace.Manager, 1, false, "LAST_OWNER"},
		"own, last owner":      {workspace.Owner, own, workspace.Owner, workspace.Manager, 1, false, "LAST_OWNER"},
		"own, of two":          {workspace.Owner, own, workspace.Owner, workspace.Manager, 2, false, "OWN_ROLE"},
		"own, the same":        {workspace.Owner, own, workspace.Owner, workspace.Owner, 2, false, ""},
		"last owner, the same": {workspace.Owner, other, workspace.Owner, workspace.Owner, 1, false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := workspace.Member{UserID: test.user, Role: test.has}
			moved, err := m.SetRole(workspace.By{UserID: own, Role: test.by}, test.gets, test.owners)
			require.Equal(t, test.reason, errs.Reason(err))
			require.Equal(t, test.moved, moved)
			if moved {
				test.has = test.gets
			}
			require.Equal(t, test.has, m.Role)
		})
	}
}

func TestLeave(t *testing.T) {
	t.Parallel()
	owner, manager := workspace.Member{Role: workspace.Owner}, workspace.Member{Role: workspace.Manager}
	require.NoError(t, owner.Leave(2))
	require.NoError(t, manager.Leave(1))
	require.Equal(t, "LAST_OWNER", errs.Reason(owner.Leave(1)))
}

func TestRoles(t *testing.T) {
	t.Parallel()
	order := []workspace.Role{workspace.Readonly, workspace.Operator, workspace.Manager, workspace.Owner}
	for i, lesser := range order {
		require.True(t, lesser.Valid())
		require.False(t, lesser.Above(lesser))
		for _, greater := range order[i+1:] {
			require.True(t, greater.Above(lesser))
			require.Equal(t, lesser, workspace.Least(lesser, greater))
			require.Equal(t, lesser, workspace.Least(greater, lesser))
		}
		// No role is less than any: an actor without one may nothing.
		require.True(t, lesser.Above(""))
		require.Equal(t, workspace.Role(""), workspace.Least("", lesser))
	}
	require.False(t, workspace.Role("admin").Valid())
}

func TestTokenRole(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		by, user, asked, want workspace.Role
		reason                string
	}{
		"all the user may":          {workspace.Owner, workspace.Manager, "", workspace.Manager, ""},
		"all the asker may":         {workspace.Readonly, workspace.Manager, "", workspace.Readonly, ""},
		"less":                      {workspace.Owner, workspace.Owner, workspace.Readonly, workspace.Readonly, ""},
		"more than the asker":       {workspace.Operator, workspace.Owner, workspace.Manager, "", "ROLE_ABOVE_OWN"},
		"more than the token's own": {workspace.Owner, workspace.Operator, workspace.Manager, "", "ROLE_ABOVE_OWN"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := workspace.TokenRole(workspace.By{Role: test.by}, workspace.Member{Role: test.user}, test.asked)
			require.Equal(t, test.reason, errs.Reason(err))
			require.Equal(t, test.want, got)
		})
	}
}

func TestTokenExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	tests := map[string]struct {
		asked time.Duration // 0: nothing
		want  time.Duration // 0: refused
	}{
		"nothing":      {0, 90 * day},
		"an hour":      {time.Hour, time.Hour},
		"a year":       {365 * day, 365 * day},
		"over a year":  {365*day + time.Second, 0},
		"in the past":  {-time.Second, 0},
		"a nanosecond": {1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked *time.Time
			if test.asked != 0 {
				at := now.Add(test.asked)
				asked = &at
			}
			got, err := workspace.TokenExpiry(asked, now)
			if test.want == 0 {
				require.Equal(t, "INVALID_FIELD", errs.Reason(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, now.Add(test.want), got)
		})
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	got, err := workspace.Name("display_name", "  Žluťoučký kůň\t")
	require.NoError(t, err)
	require.Equal(t, "Žluťoučký kůň", got)
	_, err = workspace.Name("display_name", strings.Repeat("ž", 200))
	require.NoError(t, err)
	for _, bad := range []string{"", " \t ", "\u2003", "two\nlines", "\x1b[31mred", strings.Repeat("ž", 201)} {
		_, err := workspace.Name("display_name", bad)
		require.Equal(t, "INVALID_FIELD", errs.Reason(err), "%q", bad)
	}
}

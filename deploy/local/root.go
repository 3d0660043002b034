package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// findRoot returns the folder with go.work: the current one or one above it.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside a checkout of TenantPilot: no go.work here or above")
		}
		dir = filepath.Dir(dir)
	}
}

// folder returns path as an absolute path, or an error if it is no folder.
func folder(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder", path)
	}
	return path, nil
}

package roster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Check compares the table with itself and with the checkout at root. Its error has a
// sentence for each row that cannot be right, and for each service without a row.
func Check(root string) error {
	mods, err := filepath.Glob(filepath.Join(root, "services", "*", "go.mod"))
	if err != nil {
		return err
	}
	var folders []string
	for _, mod := range mods {
		folders = append(folders, filepath.Base(filepath.Dir(mod)))
	}
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return err
	}
	return errors.Join(checkRows(table), checkFolders(table, folders, string(work)))
}

func checkRows(rows []Service) error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(File+": "+format, args...)) }
	above, number := []string{}, map[int]string{}
	for i, s := range rows {
		if other, taken := number[s.Number]; taken {
			say("%s and %s have the same number, %d, and so the same ports", other, s.Name, s.Number)
		}
		for _, called := range s.Calls {
			if !slices.Contains(above, called) {
				say("%s calls %q, which has no row above it", s.Name, called)
			}
		}
		if s.Web && i < len(rows)-1 {
			say("%s must be the last row: it calls every other service", s.Name)
		}
		above, number[s.Number] = append(above, s.Name), s.Name
	}
	return errors.Join(errs...)
}

// checkFolders compares the rows with the folders of services/ and with the
// modules that go.work names.
func checkFolders(rows []Service, folders []string, work string) error {
	var errs []error
	for _, folder := range folders {
		if !slices.Contains(Names(rows), folder) {
			errs = append(errs, fmt.Errorf("services/%s has no row in the table of services: add one to %s", folder, File))
		}
	}
	for _, s := range rows {
		if !slices.Contains(folders, s.Name) {
			errs = append(errs, fmt.Errorf("%s has a row for %s, but there is no services/%s/go.mod", File, s.Name, s.Name))
		}
	}
	return errors.Join(append(errs, checkWork(folders, work))...)
}

func checkWork(folders []string, work string) error {
	var errs []error
	for _, folder := range folders {
		if !usesModule(work, "./services/"+folder) {
			errs = append(errs, fmt.Errorf("go.work does not use ./services/%s: add it there", folder))
		}
	}
	return errors.Join(errs...)
}

// usesModule reports whether a line of go.work, or its one-line use, names dir.
func usesModule(work, dir string) bool {
	for line := range strings.Lines(work) {
		if strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "use ")) == dir {
			return true
		}
	}
	return false
}

package rpctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var upperSnake = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+$`)

// Reasons returns the reasons of errors that the Go files under dir write as text,
// with the file of each: constants named Reason…, and texts like "LEASE_LOST" that
// are given to a function of package errs or to WithReason. A service's test holds
// them to the enum in its proto. Test files do not count.
func Reasons(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, text := range reasonsOf(n) {
				found[text] = path
			}
			return true
		})
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("reasons in %s: %d found, %v", dir, len(found), err)
	}
	return found
}

func reasonsOf(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.ValueSpec:
		if strings.HasPrefix(n.Names[0].Name, "Reason") {
			return texts(n.Values)
		}
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		if of, _ := f.X.(*ast.Ident); f.Sel.Name == "WithReason" || of != nil && of.Name == "errs" {
			return texts(n.Args)
		}
	}
	return nil
}

func texts(values []ast.Expr) []string {
	var out []string
	for _, v := range values {
		lit, ok := v.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && upperSnake.MatchString(text) {
			out = append(out, text)
		}
	}
	return out
}

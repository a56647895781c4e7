// Package pkg_test holds the rules about which package may import which.
package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/clipdet/clipdet/"

// imports gives, for each of the project's packages, what its files import; tests
// count too where withTests is set.
func imports(t *testing.T, withTests bool) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || !withTests && strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(path))[len("../"):]
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[name] = append(found[name], strings.TrimPrefix(imported, module))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOnlyTorchImportsGotch(t *testing.T) {
	found := imports(t, true)
	if !slices.ContainsFunc(found["pkg/internal/torch"], isGotch) {
		t.Error("pkg/internal/torch doesn't import gotch: the test looks for the wrong name")
	}
	for name, list := range found {
		if name != "pkg/internal/torch" && slices.ContainsFunc(list, isGotch) {
			t.Errorf("%s imports gotch; only pkg/internal/torch may", name)
		}
	}
}

func isGotch(path string) bool { return strings.HasPrefix(path, "github.com/sugarme/gotch") }

// The pure packages need neither libtorch nor cgo.
func TestPurePackagesDontReachTorch(t *testing.T) {
	found := imports(t, false)
	for _, name := range []string{"pkg/box", "pkg/prompt", "pkg/overlay", "pkg/eval", "cmd/clipdet/internal/report", "cmd/clipdet/internal/analysis", "pkg/model", "cmd/clipdet/internal/calibration", "pkg/pixels"} {
		for _, banned := range []string{"pkg/internal/torch", "pkg/detect", "C"} {
			if way := reach(found, name, banned, map[string]bool{}); way != nil {
				t.Errorf("%s must not need %s: %s", name, banned, strings.Join(way, " -> "))
			}
		}
	}
	if reach(found, "pkg/detect", "pkg/internal/torch", map[string]bool{}) == nil {
		t.Error("pkg/detect doesn't reach pkg/internal/torch: the test looks for the wrong name")
	}
}

// Importers of the library don't pay for the command, nor for the tests.
func TestPackagesDontImportTheCommandsLibraries(t *testing.T) {
	found := imports(t, false)
	for name, list := range found {
		for _, path := range list {
			if strings.HasPrefix(name, "pkg/") && (strings.Contains(path, "cobra") || strings.Contains(path, "progressbar") || strings.Contains(path, "jsonschema") || strings.HasPrefix(path, "cmd/")) {
				t.Errorf("%s imports %s, which is the command's or the tests'", name, path)
			}
		}
	}
}

func reach(found map[string][]string, from, to string, seen map[string]bool) []string {
	if from == to {
		return []string{to}
	}
	if seen[from] {
		return nil
	}
	seen[from] = true
	for _, next := range found[from] {
		if way := reach(found, next, to, seen); way != nil {
			return append([]string{from}, way...)
		}
	}
	return nil
}

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

// arrows are the imports that each package of the library may have of the others: what
// people import is at the top, and nothing points upward. A new package gets a line here.
var arrows = map[string]string{
	"pkg/model/builtin":            "pkg/model",
	"pkg/results":                  "pkg/detect pkg/eval pkg/box pkg/internal/files",
	"pkg/index":                    "pkg/detect pkg/box pkg/internal/files",
	"pkg/serve":                    "pkg/detect pkg/device pkg/index pkg/model pkg/pixels pkg/prompt pkg/query pkg/results pkg/internal/files",
	"pkg/query":                    "pkg/detect pkg/eval pkg/box pkg/prompt",
	"pkg/detect":                   "pkg/model pkg/pixels pkg/prompt pkg/box pkg/internal/clip pkg/internal/rpn pkg/internal/crop pkg/internal/suppress pkg/internal/scripted pkg/internal/archive pkg/internal/tokens pkg/internal/torch pkg/internal/files",
	"pkg/device":                   "pkg/internal/torch",
	"pkg/model":                    "pkg/internal/archive",
	"pkg/prompt":                   "pkg/internal/tokens",
	"pkg/pixels":                   "pkg/pixels/internal/jpeg pkg/internal/files",
	"pkg/overlay":                  "pkg/box",
	"pkg/eval":                     "pkg/box pkg/internal/files",
	"pkg/box":                      "",
	"pkg/internal/clip":            "pkg/internal/scripted pkg/internal/archive pkg/internal/torch",
	"pkg/internal/rpn":             "pkg/box pkg/internal/scripted pkg/internal/archive pkg/internal/torch",
	"pkg/internal/scripted":        "pkg/internal/archive pkg/internal/torch",
	"pkg/internal/crop":            "pkg/box pkg/pixels pkg/internal/torch",
	"pkg/internal/suppress":        "pkg/box",
	"pkg/internal/files":           "",
	"pkg/internal/archive":         "pkg/internal/files",
	"pkg/internal/tokens":          "",
	"pkg/internal/torch":           "",
	"pkg/internal/torchtest":       "pkg/internal/archive pkg/internal/torch",
	"pkg/internal/parity":          "pkg/eval pkg/pixels pkg/prompt pkg/box pkg/internal/clip pkg/internal/rpn pkg/internal/crop pkg/internal/archive pkg/internal/tokens pkg/internal/torch",
	"pkg/pixels/internal/jpeg":     "",
	"pkg/pixels/internal/jpegdiff": "pkg/pixels",
}

func TestImportsFollowTheArrows(t *testing.T) {
	found := imports(t, false)
	for name, list := range found {
		if !strings.HasPrefix(name, "pkg/") {
			continue
		}
		may, known := arrows[name]
		if !known {
			t.Errorf("%s has no line in arrows", name)
		}
		for _, path := range list {
			if (strings.HasPrefix(path, "pkg/") || strings.HasPrefix(path, "cmd/")) && !slices.Contains(strings.Fields(may), path) {
				t.Errorf("%s imports %s, which is no arrow of its", name, path)
			}
		}
	}
	for name := range arrows {
		if _, there := found[name]; !there {
			t.Errorf("arrows has %s, which is not there or imports nothing", name)
		}
	}
}

// Packages that need no libtorch don't reach it, and need no cgo.
func TestPurePackagesDontReachTorch(t *testing.T) {
	found := imports(t, false)
	for _, name := range []string{
		"pkg/box", "pkg/eval", "pkg/model", "pkg/overlay", "pkg/pixels", "pkg/prompt",
		"cmd/clipdet/internal/analysis", "cmd/clipdet/internal/calibration", "cmd/clipdet/internal/report",
		"cmd/clipdet/internal/console", "cmd/clipdet/internal/exit", "cmd/clipdet/internal/files",
	} {
		for _, banned := range []string{"pkg/internal/torch", "pkg/detect", "C"} {
			if way := reach(found, name, banned, map[string]bool{}); way != nil {
				t.Errorf("%s must not need %s: %s", name, banned, strings.Join(way, " -> "))
			}
		}
	}
}

// Only who imports the index pays for its format.
func TestOnlyIndexImportsParquet(t *testing.T) {
	for name, list := range imports(t, false) {
		for _, path := range list {
			if strings.Contains(path, "parquet") && name != "pkg/index" {
				t.Errorf("%s imports %s; only pkg/index may", name, path)
			}
		}
	}
}

// Only who imports the service pays for its metrics.
func TestOnlyServeImportsPrometheus(t *testing.T) {
	for name, list := range imports(t, false) {
		for _, path := range list {
			if strings.Contains(path, "prometheus") && name != "pkg/serve" {
				t.Errorf("%s imports %s; only pkg/serve may", name, path)
			}
		}
	}
}

// Importers of the library don't pay for the command, nor for the tests.
func TestPackagesDontImportTheCommandsLibraries(t *testing.T) {
	for name, list := range imports(t, false) {
		for _, path := range list {
			if strings.HasPrefix(name, "pkg/") && (strings.Contains(path, "cobra") || strings.Contains(path, "progressbar") || strings.Contains(path, "fontscan") || strings.Contains(path, "jsonschema")) {
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

package fonts

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/clipdet/clipdet/pkg/overlay"
)

const testFonts = "../../../../testdata/fonts/"

func TestGivenFont(t *testing.T) {
	labels := []string{"dog", "犬", "犬鳥", "كلب"}
	found, undrawn, err := Of(labels, testFonts+"few-cjk.otf")
	if want := map[string]string{"犬鳥": "鳥", "كلب": "كلب"}; err != nil || len(found) != 1 || !maps.Equal(undrawn, want) {
		t.Errorf("%d fonts, %v, %v; want one and %v", len(found), undrawn, err, want)
	}
	for file, want := range map[string]error{
		testFonts + "none.ttf":                 fs.ErrNotExist,
		testFonts + "README.md":                overlay.ErrFont,
		testFonts:                              nil, // a directory
		"../../../../testdata/formats/rgb.png": overlay.ErrFont,
	} {
		_, _, err := Of([]string{"dog"}, file)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", file, err, want)
		}
	}
}

// TestSystemsFonts puts a font where fontconfig looks for those of a user. The machine may
// have others with the same letters.
func TestSystemsFonts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_DATA_HOME", home)
	t.Setenv("CLIPDET_HOME", filepath.Join(home, "cache"))
	data, err := os.ReadFile(testFonts + "few-cjk.otf")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(home, "fonts"), 0o755), os.WriteFile(filepath.Join(home, "fonts", "few.otf"), data, 0o644)); err != nil {
		t.Fatal(err)
	}
	if found, undrawn, err := Of([]string{"dog", "собака"}, ""); err != nil || len(found)+len(undrawn) > 0 {
		t.Errorf("names that the built-in font has: %d fonts, %v, %v", len(found), undrawn, err)
	}
	if _, err := os.Stat(filepath.Join(home, "cache", "fonts")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("fonts were looked for that aren't needed: %v", err)
	}
	const nobody = "\U00100000" // for private use
	found, undrawn, err := Of([]string{"犬かな", "a" + nobody}, "")
	if want := map[string]string{"a" + nobody: nobody}; err != nil || len(found) != 1 || !maps.Equal(undrawn, want) {
		t.Errorf("%d fonts, %q, %v; want one and %q", len(found), undrawn, err, want)
	}
}

package overlay

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/image/font/gofont/gomedium"

	"github.com/clipdet/clipdet/pkg/box"
)

const fonts = "../../testdata/fonts"

func readFont(t *testing.T, name string) *Font {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fonts, name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := ReadFont(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

func TestUndrawnWithFonts(t *testing.T) {
	cjk, arabic, both := readFont(t, "few-cjk.otf"), readFont(t, "few-arabic.ttf"), readFont(t, "both.ttc")
	for _, test := range []struct {
		name  string
		fonts []*Font
		want  string
	}{
		{"a 犬 かな", []*Font{cjk}, ""},
		{"犬 كلب", []*Font{cjk}, "كلب"},
		{"犬 كلب", []*Font{arabic, cjk}, ""},
		{"犬鳥", []*Font{both}, "鳥"},
		{"ك\u200dلب", []*Font{arabic}, ""}, // a joiner has no glyph of its own
	} {
		if got := Undrawn(test.name, test.fonts...); got != test.want {
			t.Errorf("%q with %d fonts lacks %q, want %q", test.name, len(test.fonts), got, test.want)
		}
	}
}

func TestFilesThatAreNoFonts(t *testing.T) {
	picture, err := os.ReadFile("../../testdata/formats/rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"nothing": nil, "a picture": picture, "a collection of none": append([]byte("ttcf\x00\x01\x00\x00\x00\x00\x00\x00"), make([]byte, 40)...)} {
		if f, err := ReadFont(data); !errors.Is(err, ErrFont) || f != nil {
			t.Errorf("%s: %v, %v, want ErrFont", name, f, err)
		}
	}
	// Of a font that ends early no letter may be read beyond its end.
	for cut := 0; cut < len(gomedium.TTF); cut += 997 {
		if f, err := ReadFont(gomedium.TTF[:cut]); err == nil {
			drawAll(t, f)
		} else if !errors.Is(err, ErrFont) {
			t.Errorf("the first %d bytes: %v, want ErrFont", cut, err)
		}
	}
}

// drawAll draws names of letters in several scripts.
func drawAll(t *testing.T, f *Font) {
	t.Helper()
	img := plain(200, 100, color.White)
	marks := []Mark{{Box: box.Box{X0: 20, Y0: 40, X1: 150, Y1: 90}, Name: "犬猫 كلب ज", Score: 0.5}, {Box: box.Box{X0: 20, Y0: 40, X1: 50, Y1: 60}, Name: "abc"}}
	if out := Detections(img, marks, f); changed(t, out, img).Empty() {
		t.Error("nothing is drawn")
	}
}

// TestShapedAsByHarfBuzz compares glyphs and advances with those of uharfbuzz 0.57.0, for
// the same files, in thousandths of an em.
func TestShapedAsByHarfBuzz(t *testing.T) {
	l := newLetters(image.Rect(0, 0, 40_000, 40_000), []*Font{readFont(t, "few-cjk.otf"), readFont(t, "few-arabic.ttf")})
	if l.size.Round() != 1000 {
		t.Fatalf("letters of %v pixels, want 1000", l.size)
	}
	for name, want := range map[string]struct {
		glyphs string
		width  int
	}{
		"كلب":  {"[42 62 60]", 883 + 191 + 587}, // from the right, in the forms that join
		"犬かな":  {"[3 1 2]", 3000},
		"ك":    {"[3]", 0},
		"كلب犬": {"[3 42 62 60]", 0}, // the text begins at the right
	} {
		got := shapeText(t, l, name)
		if glyphs(got) != want.glyphs || want.width > 0 && got.width.Round() != want.width {
			t.Errorf("%q: glyphs %s, %v wide; want %s, %d", name, glyphs(got), got.width, want.glyphs, want.width)
		}
	}
}

// TestFontsDraw checks that a font changes the letters that the built-in font lacks, and
// no others.
func TestFontsDraw(t *testing.T) {
	img := plain(300, 200, color.White)
	f := readFont(t, "few-cjk.otf")
	draw := func(name string, fonts ...*Font) *image.RGBA {
		return Detections(img, []Mark{{Box: box.Box{X0: 50, Y0: 60, X1: 200, Y1: 150}, Name: name, Score: 0.87}}, fonts...)
	}
	if at := changed(t, draw("dog"), draw("dog", f)); !at.Empty() {
		t.Errorf("Latin letters change at %v with a font", at)
	}
	if at := changed(t, draw("犬"), draw("犬", f)); at.Dx() < 5 || at.Dy() < 5 {
		t.Errorf("a letter changes at %v, want a whole letter", at)
	}
	if at := changed(t, draw("犬", f), draw("猫", f)); at.Dx() < 5 || at.Dy() < 5 {
		t.Errorf("two letters differ at %v, want a whole letter", at)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { draw("犬", f) })
	}
	all.Wait()
}

// FuzzFont checks that a file is drawn with, or is no font.
func FuzzFont(f *testing.F) {
	for _, name := range []string{"few-cjk.otf", "few-arabic.ttf", "both.ttc"} {
		data, err := os.ReadFile(filepath.Join(fonts, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		font, err := ReadFont(bytes.Clone(data))
		if err == nil {
			drawAll(t, font)
		} else if !errors.Is(err, ErrFont) {
			t.Errorf("%v, want ErrFont", err)
		}
	})
}

package overlay

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"

	"github.com/go-text/typesetting/font"
	"golang.org/x/image/math/fixed"

	"github.com/clipdet/clipdet/pkg/box"
)

func lettersFor(t *testing.T, width, height int) *letters {
	t.Helper()
	l := newLetters(image.Rect(0, 0, width, height), nil)
	if l == nil {
		t.Fatal("the font can't be read")
	}
	return l
}

func shapeText(t *testing.T, l *letters, text string) shaped {
	t.Helper()
	out, err := l.shape(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out
}

func TestLettersAreLegible(t *testing.T) {
	for _, size := range []image.Point{{50, 50}, {320, 240}, {640, 480}, {1920, 1080}, {8000, 6000}} {
		l := lettersFor(t, size.X, size.Y)
		h := shapeText(t, l, "H")
		capital := (h.above + h.below).Round()
		// Capitals of 7 pixels can be read at full size. Those of 1/60 of the picture's
		// size can be read when the picture fills a screen.
		if want := max(7, int(scale(image.Rectangle{Max: size})/60)); capital < want {
			t.Errorf("%v: capitals of %d pixels, want %d", size, capital, want)
		}
		if p := shapeText(t, l, "gjpqy").below.Ceil(); l.ascent+p > l.height+1 || l.ascent < capital {
			t.Errorf("%v: tags of %d pixels do not hold letters that reach from %d above to %d below the line at %d", size, l.height, capital, p, l.ascent)
		}
	}
}

func TestUndrawn(t *testing.T) {
	for name, want := range map[string]string{
		"Zebra crossing 0.87…": "", "çéèêëñöüßåøæœ": "", "łşğžčřőű": "", "Ελληνικά": "", "Кириллица": "", "e\u0301": "", "a\tb": "",
		"犬": "犬", "かな": "かな", "한": "한", "ف": "ف", "a犬b犬": "犬", "🦉": "🦉",
	} {
		if got := Undrawn(name); got != want {
			t.Errorf("%q lacks %q, want %q", name, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		"dog":                  "dog",
		"  a\tbig \n dog\x00":  "a big dog",
		"cafe\u0301":           "café",
		"broken \xff\xfe name": "broken \uFFFD name",
		"":                     "",
		" \n ":                 "",
	} {
		if got := clean(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	l := lettersFor(t, 640, 480)
	advance := func(s string) int { return shapeText(t, l, s).width.Ceil() + 2*l.padding }
	for _, test := range []struct {
		name string
		room int
		want string // "": no tag
	}{
		{"dog", 640, "dog 0.87"},
		{"dog", advance("dog 0.87"), "dog 0.87"},
		{"", 640, "0.87"},
		{"elephant", advance("ele… 0.87"), "ele… 0.87"},
		{"a bcdefgh", advance("a … 0.87"), "a… 0.87"},
		{"éléphant", advance("él… 0.87"), "él… 0.87"},
		{"elephant", advance("… 0.87"), "0.87"},
		{"elephant", advance("0.87"), "0.87"},
		{"elephant", advance("0.87") - 1, ""},
		{strings.Repeat("long ", 100000), advance("long… 0.87"), "long… 0.87"},
	} {
		l.room = test.room
		got, ok := l.fit(test.name, "0.87")
		if ok != (test.want != "") || glyphs(got) != glyphs(shapeText(t, l, test.want)) {
			t.Errorf("%.20q in %d pixels: glyphs %s, %v; want those of %q", test.name, test.room, glyphs(got), ok, test.want)
		}
		if ok && got.width > fixed.I(test.room-2*l.padding) {
			t.Errorf("%.20q in %d pixels: it is wider", test.name, test.room)
		}
	}
}

// glyphs returns the numbers of a text's glyphs, from left to right.
func glyphs(text shaped) string {
	var all []font.GID
	for _, run := range text.runs {
		for _, g := range run.Glyphs {
			all = append(all, g.GlyphID)
		}
	}
	return fmt.Sprint(all)
}

// placed returns the tags that Detections draws for boxes, best first.
func placed(t *testing.T, picture image.Rectangle, boxes ...box.Box) []tag {
	t.Helper()
	l := newLetters(picture, nil)
	var frames []frame
	for _, b := range boxes {
		f, ok := newFrame(b, picture, lineWidth(picture))
		if !ok {
			t.Fatalf("%v can't be seen in %v", b, picture)
		}
		frames = append(frames, f)
	}
	var tags []tag
	for i := range boxes {
		tag, ok := l.tag("zebra", 0.87, groupColour(i))
		if !ok {
			t.Fatalf("no tag fits into %v", picture)
		}
		tag.place(i, frames, picture, tags)
		tags = append(tags, tag)
	}
	return tags
}

func TestTagsAreInsideThePictureAndAtTheirBox(t *testing.T) {
	picture := image.Rect(0, 0, 400, 300)
	for name, b := range map[string]box.Box{
		"left border":           {X0: 0, Y0: 100, X1: 30, Y1: 150},
		"right border":          {X0: 380, Y0: 100, X1: 400, Y1: 150},
		"upper border":          {X0: 100, Y0: 0, X1: 200, Y1: 100},
		"lower border":          {X0: 100, Y0: 200, X1: 200, Y1: 300},
		"upper right corner":    {X0: 395, Y0: 0, X1: 400, Y1: 5},
		"lower left corner":     {X0: 0, Y0: 297, X1: 2, Y1: 300},
		"from top to bottom":    {X0: 100, Y0: 0, X1: 200, Y1: 300},
		"the whole picture":     {X0: 0, Y0: 0, X1: 400, Y1: 300},
		"more than it":          {X0: -50, Y0: -50, X1: 500, Y1: 500},
		"a point in the middle": {X0: 200, Y0: 150, X1: 200, Y1: 150},
	} {
		at := placed(t, picture, b)[0].at
		if !at.In(picture) {
			t.Errorf("%s: tag at %v, outside of %v", name, at, picture)
		}
		f, _ := newFrame(b, picture, lineWidth(picture))
		if near := f.outer.pixels().Inset(-2); !at.Overlaps(near) {
			t.Errorf("%s: tag at %v, away from its frame %v", name, at, f.outer)
		}
	}
	// The box fills a small picture, so there is no room beside it.
	small := image.Rect(0, 0, 70, 14)
	if at := placed(t, small, box.Box{X1: 70, Y1: 14})[0].at; !at.In(small) {
		t.Errorf("tag at %v, outside of %v", at, small)
	}
}

func TestTagsDoNotHideEachOther(t *testing.T) {
	picture := image.Rect(0, 0, 640, 480)
	same := box.Box{X0: 200, Y0: 200, X1: 300, Y1: 300}
	small := box.Box{X0: 210, Y0: 180, X1: 230, Y1: 196} // above same's upper left corner
	corner := box.Box{X0: 620, Y0: 460, X1: 640, Y1: 480}
	crowd := make([]box.Box, 100)
	for i := range crowd {
		x, y := float32(i*97%600), float32(150+i*61%200)
		crowd[i] = box.Box{X0: x, Y0: y, X1: x + 30, Y1: y + 80}
	}
	for name, boxes := range map[string][]box.Box{
		"one box for six queries": {same, same, same, same, same, same},
		"at the upper border":     {{X0: 10, Y0: 0, X1: 100, Y1: 90}, {X0: 20, Y0: 0, X1: 110, Y1: 90}, {X0: 30, Y0: 0, X1: 120, Y1: 90}},
		"side by side":            {{X0: 10, Y0: 50, X1: 30, Y1: 90}, {X0: 30, Y0: 50, X1: 50, Y1: 90}, {X0: 50, Y0: 50, X1: 70, Y1: 90}},
		"one above the other":     {same, small},
		"one box for 40 queries":  slices.Repeat([]box.Box{small}, 40),
		"in a corner":             slices.Repeat([]box.Box{corner}, 40),
		"a crowd":                 crowd,
	} {
		tags := placed(t, picture, boxes...)
		for i, a := range tags {
			if !a.at.In(picture) {
				t.Errorf("%s: tag %d is at %v, outside of %v", name, i, a.at, picture)
			}
			for j, b := range tags[:i] {
				if a.at.Overlaps(b.at) {
					t.Errorf("%s: tags %d and %d overlap at %v and %v", name, j, i, a.at, b.at)
				}
			}
		}
	}
	if tags := placed(t, picture, same, small); tags[0].at.Overlaps(image.Rect(210, 180, 230, 196)) {
		t.Errorf("the tag at %v hides a small box beside its own", tags[0].at)
	}
}

func TestTagIsDrawn(t *testing.T) {
	img := plain(640, 480, color.White)
	out := Detections(img, []Mark{{Box: box.Box{X0: 50, Y0: 40, X1: 150, Y1: 90}, Name: "dog", Score: 0.87, Group: 4}})
	colour := groupColour(4)
	count := map[color.RGBA]int{}
	for y := range 38 { // above the frame
		for x := range 200 {
			count[out.RGBAAt(x, y)]++
		}
	}
	if count[colour] < 500 || count[ink(colour)] < 30 {
		t.Errorf("%d pixels of the group's colour and %d of ink, want a filled tag with letters", count[colour], count[ink(colour)])
	}
}

func TestGroupColours(t *testing.T) {
	seen := map[color.RGBA]int{}
	for group := range 100 {
		c := groupColour(group)
		if other, ok := seen[c]; ok {
			t.Errorf("groups %d and %d are both %v", other, group, c)
		}
		seen[c] = group
		if c != groupColour(group) || c.A != 255 {
			t.Errorf("group %d: %v is not stable or not opaque", group, c)
		}
		if ratio := contrast(c, ink(c)); ratio < 4.5 { // WCAG's minimum for text
			t.Errorf("group %d: letters on %v have a contrast of %.1f", group, c, ratio)
		}
	}
	// The channels' differences of the first groups, summed.
	for a := range 12 {
		for b := range a {
			ca, cb := groupColour(a), groupColour(b)
			d := 0
			for i, v := range [3]uint8{ca.R, ca.G, ca.B} {
				diff := int(v) - int([3]uint8{cb.R, cb.G, cb.B}[i])
				d += max(diff, -diff)
			}
			if d < 60 {
				t.Errorf("groups %d and %d are close: %v and %v", b, a, ca, cb)
			}
		}
	}
	for _, group := range []int{-1, -1 << 62, 1<<63 - 1} {
		if c := groupColour(group); c.A != 255 {
			t.Errorf("group %d: %v", group, c)
		}
	}
}

func ExampleDetections() {
	photo := image.NewRGBA(image.Rect(0, 0, 320, 240))
	picture := Detections(photo, []Mark{
		{Box: box.Box{X0: 40, Y0: 60, X1: 140, Y1: 200}, Name: "dog", Score: 0.87, Group: 0},
		{Box: box.Box{X0: 170, Y0: 80, X1: 300, Y1: 190}, Name: "bicycle", Score: 0.61, Group: 1},
	})
	fmt.Println(picture.Bounds())
	// Output: (0,0)-(320,240)
}

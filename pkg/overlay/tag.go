package overlay

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/norm"
)

// tag is a name and a score on a filled rectangle.
type tag struct {
	text   string
	colour color.RGBA
	at     image.Rectangle // in whole pixels, so that its edge is sharp
}

// letters draws tags in the size that suits a picture.
type letters struct {
	face    font.Face
	padding int // left and right of the text
	ascent  int // from the top to the base line
	height  int // of a tag
	room    int // width of the widest tag
}

var parseFont = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(gomedium.TTF) })

// Undrawn returns the letters of a name that the built-in font, Go Medium, has no glyph
// of, each once. A tag shows boxes in their place. The font has Latin, Greek and Cyrillic.
func Undrawn(name string) string {
	parsed, err := parseFont()
	if err != nil {
		return name
	}
	var buffer sfnt.Buffer
	var lacks strings.Builder
	for _, r := range clean(name) {
		glyph, err := parsed.GlyphIndex(&buffer, r)
		if (err != nil || glyph == 0) && !strings.ContainsRune(lacks.String(), r) {
			lacks.WriteRune(r)
		}
	}
	return lacks.String()
}

// newLetters returns letters of 15 pixels for a picture of scale 600. It returns nil if
// the font can't be loaded.
func newLetters(picture image.Rectangle) *letters {
	parsed, err := parseFont()
	if err != nil {
		return nil
	}
	size := max(10, math.Round(scale(picture)*15/600))
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil
	}
	padding := int(math.Round(size / 4))
	ascent := int(math.Round(size))
	return &letters{face: face, padding: padding, ascent: ascent, height: ascent + int(math.Round(size*0.3)), room: picture.Dx()}
}

// tag returns false if not even the score fits into the picture.
func (l *letters) tag(name string, score float64, colour color.RGBA) (tag, bool) {
	if l == nil {
		return tag{}, false
	}
	text, ok := l.fit(clean(name), fmt.Sprintf("%.2f", score))
	if !ok {
		return tag{}, false
	}
	width := font.MeasureString(l.face, text).Ceil() + 2*l.padding
	return tag{text: text, colour: colour, at: image.Rect(0, 0, width, l.height)}, true
}

// clean returns a name as one line without controls. It composes letters and accents,
// since a font may lack the glyph of an accent.
func clean(name string) string {
	name = norm.NFC.String(strings.ToValidUTF8(name, "\uFFFD"))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, name)
	return strings.Join(strings.Fields(name), " ")
}

// fit returns name and score. If there is no room, it cuts or drops the name.
func (l *letters) fit(name, score string) (text string, ok bool) {
	room := fixed.I(l.room - 2*l.padding)
	if font.MeasureString(l.face, score) > room {
		return "", false
	}
	if name == "" {
		return score, true
	}
	end := " " + score
	if font.MeasureString(l.face, name+end) <= room {
		return name + end, true
	}
	end = "…" + end
	room -= font.MeasureString(l.face, end)
	cut := 0
	for i, r := range name {
		advance, _ := l.face.GlyphAdvance(r)
		if room -= advance; room < 0 {
			break
		}
		cut = i + len(string(r))
	}
	if cut == 0 {
		return score, true
	}
	return strings.TrimSpace(name[:cut]) + end, true
}

// place moves t to the place that hides least of other tags and other frames' boxes. The
// places are at the corners of its own frame (frames[own]), outside before inside, and in
// rows further up or down.
func (t *tag) place(own int, frames []frame, picture image.Rectangle, others []tag) {
	width, height := t.at.Dx(), t.at.Dy()
	f := frames[own].outer
	left, right := int(math.Round(f.x0)), int(math.Round(f.x1))-width
	top, bottom := int(math.Round(f.y0)), int(math.Round(f.y1))
	best := math.Inf(1)
	for i, c := range []image.Point{
		{left, top - height}, {left, bottom}, {right, top - height}, {right, bottom},
		{left, top}, {left, bottom - height}, {right, top}, {right, bottom - height},
		{left, top - 2*height}, {left, bottom + height}, {left, top + height}, {left, bottom - 2*height},
		{left, top - 3*height}, {left, bottom + 2*height}, {left, top + 2*height}, {left, bottom - 3*height},
	} {
		const rank, leaves = 0.02, 10 // costs; 1 is a whole hidden tag
		cost := rank * float64(i)
		if c.Y < 0 || c.Y+height > picture.Dy() {
			cost += leaves // it moves into the picture, away from its frame
		}
		c.X, c.Y = max(0, min(c.X, picture.Dx()-width)), max(0, min(c.Y, picture.Dy()-height))
		at := image.Rect(c.X, c.Y, c.X+width, c.Y+height)
		for _, o := range others {
			cost += hidden(at, o.at)
		}
		for j, o := range frames {
			if j != own {
				cost += hidden(at, o.outer.pixels())
			}
		}
		if cost < best {
			best, t.at = cost, at
		}
	}
}

// hidden returns the part of what that lies under a tag.
func hidden(under, what image.Rectangle) float64 {
	shared := under.Intersect(what)
	if shared.Empty() {
		return 0
	}
	return float64(shared.Dx()*shared.Dy()) / float64(what.Dx()*what.Dy())
}

func (l *letters) draw(m *image.RGBA, t tag) {
	r := rect{float64(t.at.Min.X), float64(t.at.Min.Y), float64(t.at.Max.X), float64(t.at.Max.Y)}
	r.fill(m, t.colour, 1)
	d := font.Drawer{
		Dst: m, Src: image.NewUniform(ink(t.colour)), Face: l.face,
		Dot: fixed.P(t.at.Min.X+l.padding, t.at.Min.Y+l.ascent),
	}
	d.DrawString(t.text)
}

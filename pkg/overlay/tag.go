package overlay

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/norm"
)

// tag is a name and a score on a filled rectangle.
type tag struct {
	text   shaped
	colour color.RGBA
	at     image.Rectangle // in whole pixels, so that its edge is sharp
	base   int             // from the top to the base line

	crowded bool // no place was free of other tags
}

// letters draws tags in the size that suits a picture.
type letters struct {
	faces     *typefaces
	segmenter shaping.Segmenter
	shaper    shaping.HarfbuzzShaper
	wrapper   shaping.LineWrapper

	size    fixed.Int26_6 // of an em
	padding int           // left and right of the text
	ascent  int           // from the top to the base line
	height  int           // of a tag
	room    int           // width of the widest tag
}

// newLetters returns letters of 15 pixels for a picture of scale 600. It returns nil if
// the built-in font can't be loaded.
func newLetters(picture image.Rectangle, fonts []*Font) *letters {
	faces, err := newTypefaces(fonts)
	if err != nil {
		return nil
	}
	size := max(10, math.Round(scale(picture)*15/600))
	ascent := int(size)
	return &letters{
		faces: faces, size: fixed.I(ascent), padding: int(math.Round(size / 4)),
		ascent: ascent, height: ascent + int(math.Round(size*0.3)), room: picture.Dx(),
	}
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
	// Letters with marks above or below may need a higher tag.
	base := min(max(l.ascent, text.above.Ceil()+1), 2*l.ascent)
	height := base + min(max(l.height-l.ascent, text.below.Ceil()+1), l.ascent)
	return tag{text: text, colour: colour, at: image.Rect(0, 0, text.width.Ceil()+2*l.padding, height), base: base}, true
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
func (l *letters) fit(name, score string) (shaped, bool) {
	room := fixed.I(l.room - 2*l.padding)
	end, err := l.shape(score)
	if err != nil || end.width > room {
		return shaped{}, false
	}
	if name == "" {
		return end, true
	}
	// The space is no part of the name, which may run to the left.
	spaced, err := l.shape(" " + score)
	if err != nil {
		return end, true
	}
	runes := []rune(name)
	long := len(runes) > l.room // a letter takes a pixel and more
	runes = runes[:min(len(runes), l.room)]
	fits := func(text string) (shaped, bool) {
		first, err := l.shape(text)
		whole := first.then(spaced)
		return whole, err == nil && whole.width <= room
	}
	if whole, ok := fits(string(runes)); ok && !long {
		return whole, true
	}
	cut := func(n int) string { return strings.TrimSpace(string(runes[:n])) + "…" }
	n := sort.Search(len(runes), func(n int) bool {
		_, ok := fits(cut(n + 1))
		return !ok
	})
	for n > 0 && n < len(runes) && unicode.Is(unicode.M, runes[n]) { // not between a letter and its mark
		n--
	}
	if n == 0 {
		return end, true
	}
	return fits(cut(n))
}

// place moves t to the place that hides least of other tags and other frames' boxes. The
// places are at the corners of its own frame (frames[own]), outside before inside, and in
// rows further up or down. If the best hides a part of a tag, place looks further.
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
	hides := false
	for i := range others {
		o := &others[i]
		hides = hides || t.at.Overlaps(o.at)
		// Where a smaller tag had no place, t has none. This bounds the time.
		t.crowded = t.crowded || o.crowded && o.at.Dx() <= width && o.at.Dy() <= height
	}
	if hides && !t.crowded {
		t.crowded = !t.placeBeside(own, frames, picture, others)
	}
}

// placeBeside moves t to a place that hides no part of other tags, near to its own frame
// and with little hidden of the frames' boxes. It returns false, and leaves t where it is,
// if there is no such place.
//
// Every free place can be moved up or down, and then left or right, until it touches a
// tag or the edge of the picture, so those that do are tried.
func (t *tag) placeBeside(own int, frames []frame, picture image.Rectangle, others []tag) bool {
	width, height := t.at.Dx(), t.at.Dy()
	f := frames[own].outer.pixels()
	tops := []int{f.Min.Y - height, f.Max.Y, 0, picture.Dy() - height}
	taken := make([]image.Rectangle, len(others))
	for i, o := range others {
		taken[i] = o.at
		tops = append(tops, o.at.Min.Y-height, o.at.Max.Y)
	}
	away := func(y int) int { return max(f.Min.Y-(y+height), y-f.Max.Y, 0) }
	slices.SortFunc(tops, func(a, b int) int { return cmp.Or(cmp.Compare(away(a), away(b)), cmp.Compare(a, b)) })
	best := math.Inf(1)
	var row []image.Rectangle // what is taken beside a place
	for _, y := range slices.Compact(tops) {
		if y < 0 || y+height > picture.Dy() {
			continue
		}
		const far = 0.08 // the cost of the height of a tag; 1 is a whole hidden box
		if far*float64(away(y))/float64(height) >= best {
			break
		}
		lefts := []int{f.Min.X, f.Max.X - width, 0, picture.Dx() - width}
		row = row[:0]
		for _, r := range taken {
			if r.Min.Y < y+height && y < r.Max.Y {
				row, lefts = append(row, r), append(lefts, r.Min.X-width, r.Max.X)
			}
		}
		for _, x := range lefts {
			at := image.Rect(x, y, x+width, y+height)
			if x < 0 || x+width > picture.Dx() || slices.ContainsFunc(row, at.Overlaps) {
				continue
			}
			cost := far * math.Hypot(float64(away(y)), float64(max(f.Min.X-(x+width), x-f.Max.X, 0))) / float64(height)
			for _, o := range frames {
				cost += hidden(at, o.outer.pixels())
			}
			if cost < best {
				best, t.at = cost, at
			}
		}
	}
	return !math.IsInf(best, 1)
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
	t.text.draw(m, t.at, fixed.P(t.at.Min.X+l.padding, t.at.Min.Y+t.base), ink(t.colour))
}

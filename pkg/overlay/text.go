package overlay

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"unicode"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
	"golang.org/x/text/unicode/bidi"
)

// typefaces are the fonts of a picture's letters: the built-in one and others for what it
// lacks. They aren't safe for concurrent use.
type typefaces struct {
	fonts []*Font // the built-in one first
	faces []*font.Face
	known map[rune]known
}

// known is what is known of a letter.
type known struct {
	face  *font.Face
	drawn bool
}

func newTypefaces(fonts []*Font) (*typefaces, error) {
	first, err := builtIn()
	if err != nil {
		return nil, err
	}
	t := &typefaces{fonts: append([]*Font{first}, fonts...), known: map[rune]known{}}
	t.faces = make([]*font.Face, len(t.fonts))
	return t, nil
}

// face returns the nth face, made when it is first asked for: it may take a megabyte.
func (t *typefaces) face(n int) *font.Face {
	if t.faces[n] == nil {
		t.faces[n] = font.NewFace(t.fonts[n].parsed)
	}
	return t.faces[n]
}

// of returns the first face that draws a letter. Spaces and marks that only shape the
// letters beside them are drawn by any.
func (t *typefaces) of(r rune) (face *font.Face, ok bool) {
	if k, ok := t.known[r]; ok {
		return k.face, k.drawn
	}
	k := known{face: t.face(0), drawn: unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r)}
	for n := range t.fonts {
		if draws(t.face(n), r) {
			k = known{t.face(n), true}
			break
		}
	}
	t.known[r] = k
	return k.face, k.drawn
}

// ResolveFace is of for package shaping.
func (t *typefaces) ResolveFace(r rune) *font.Face {
	face, _ := t.of(r)
	return face
}

// shaped is text as glyphs, in runs from left to right.
type shaped struct {
	runs  []shaping.Output
	width fixed.Int26_6
	// above and below are how far the letters reach from the base line.
	above, below fixed.Int26_6
}

// then returns the text with another at its right.
func (l shaped) then(next shaped) shaped {
	return shaped{slices.Concat(l.runs, next.runs), l.width + next.width, max(l.above, next.above), max(l.below, next.below)}
}

// shape returns text as its script has it: letters joined, stacked, and ordered from the
// right where it runs so. A panic of the shaper, for a font may be anyone's, is an error.
func (l *letters) shape(text string) (out shaped, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: its shaper panicked: %v", ErrFont, p)
		}
	}()
	runes := []rune(text)
	if len(runes) == 0 {
		return shaped{}, nil
	}
	whole := shaping.Input{Text: runes, RunEnd: len(runes), Direction: direction(runes), Size: l.size, Language: language.DefaultLanguage()}
	var runs []shaping.Output
	for _, run := range l.segmenter.Split(whole, l.faces) {
		runs = append(runs, l.shaper.Shape(run))
	}
	// The wrapper puts the runs of both directions in order. The width is beyond any.
	config := shaping.WrapConfig{Direction: whole.Direction, BreakPolicy: shaping.Never, DisableTrailingWhitespaceTrim: true}
	lines, _ := l.wrapper.WrapParagraphF(config, fixed.I(1<<22), runes, shaping.NewSliceIterator(runs))
	for _, wrapped := range lines {
		out.runs = append(out.runs, wrapped...)
	}
	slices.SortStableFunc(out.runs, func(a, b shaping.Output) int { return int(a.VisualIndex - b.VisualIndex) })
	for _, run := range out.runs {
		out.width += run.Advance
		out.above, out.below = max(out.above, run.GlyphBounds.Ascent), max(out.below, -run.GlyphBounds.Descent)
	}
	return out, nil
}

// direction returns the direction of the first letter that has one.
func direction(text []rune) di.Direction {
	for _, r := range text {
		p, _ := bidi.LookupRune(r)
		switch p.Class() {
		case bidi.L:
			return di.DirectionLTR
		case bidi.R, bidi.AL:
			return di.DirectionRTL
		}
	}
	return di.DirectionLTR
}

// draw fills the outlines of a text, whose base line begins at a place, within a
// rectangle. A font whose outline makes its parser panic leaves the rectangle as it is.
func (l shaped) draw(m *image.RGBA, within image.Rectangle, at fixed.Point26_6, ink color.Color) {
	if within = within.Intersect(m.Rect); within.Empty() {
		return
	}
	defer func() { _ = recover() }()
	r := vector.NewRasterizer(within.Dx(), within.Dy())
	dot := at.Sub(fixed.P(within.Min.X, within.Min.Y))
	for _, run := range l.runs {
		scale := inPixels(run.Size) / float32(run.Face.Upem())
		for _, glyph := range run.Glyphs {
			x, y := inPixels(dot.X+glyph.XOffset), inPixels(dot.Y-glyph.YOffset)
			outline, _ := run.Face.GlyphDataOutline(glyph.GlyphID)
			for _, s := range outline.Segments {
				var p [3][2]float32
				for i, to := range s.Args {
					p[i] = [2]float32{x + to.X*scale, y - to.Y*scale}
				}
				switch s.Op {
				case opentype.SegmentOpMoveTo:
					r.ClosePath()
					r.MoveTo(p[0][0], p[0][1])
				case opentype.SegmentOpLineTo:
					r.LineTo(p[0][0], p[0][1])
				case opentype.SegmentOpQuadTo:
					r.QuadTo(p[0][0], p[0][1], p[1][0], p[1][1])
				case opentype.SegmentOpCubeTo:
					r.CubeTo(p[0][0], p[0][1], p[1][0], p[1][1], p[2][0], p[2][1])
				}
			}
			r.ClosePath()
			dot.X += glyph.Advance
		}
	}
	r.Draw(m, within, image.NewUniform(ink), image.Point{})
}

func inPixels(v fixed.Int26_6) float32 { return float32(v) / 64 }

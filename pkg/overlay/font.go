package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"golang.org/x/image/font/gofont/gomedium"
)

// ErrFont is the error of a file that holds no font that can be drawn.
var ErrFont = errors.New("no font that can be drawn")

// Font draws the letters of names that the built-in font, Go Medium, doesn't have. It is
// safe for concurrent use.
type Font struct{ parsed *font.Font }

// ReadFont reads a TrueType or OpenType font (.ttf, .otf), or the first of a collection
// (.ttc). The Font reads from data later on, so data must not change. ReadFont fails with
// ErrFont, also for a font of bitmaps without outlines, such as one of coloured emoji.
func ReadFont(data []byte) (_ *Font, err error) {
	defer func() {
		if p := recover(); p != nil { // the file may be anyone's
			err = fmt.Errorf("%w: its parser panicked: %v", ErrFont, p)
		}
	}()
	if err := checkTables(data); err != nil {
		return nil, err
	}
	loaders, err := opentype.NewLoaders(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFont, err)
	}
	parsed, err := font.NewFont(loaders[0]) // checkTables found one
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFont, err)
	}
	// https://learn.microsoft.com/en-us/typography/opentype/spec/head
	if upem := parsed.Upem(); upem < 16 || upem > 16384 {
		return nil, fmt.Errorf("%w: it has %d units per em, out of 16 to 16384", ErrFont, upem)
	}
	face := font.NewFace(parsed)
	for letters := parsed.Cmap.Iter(); letters.Next(); {
		if r, _ := letters.Char(); draws(face, r) {
			return &Font{parsed}, nil
		}
	}
	return nil, fmt.Errorf("%w: none of its letters has an outline", ErrFont)
}

// checkTables checks that each table of each font lies in the file: the parser allocates
// what their headers state. It lets compressed fonts (WOFF) and resource files of old
// systems pass as little as what is no font.
// https://learn.microsoft.com/en-us/typography/opentype/spec/otff
func checkTables(data []byte) error {
	short := fmt.Errorf("%w: the file ends early", ErrFont)
	number := func(at uint64) uint64 { // 0 beyond the end
		if at+4 > uint64(len(data)) {
			return 0
		}
		return uint64(binary.BigEndian.Uint32(data[at:]))
	}
	starts := []uint64{0}
	if bytes.HasPrefix(data, []byte("ttcf")) {
		count := number(8)
		if count == 0 || 12+4*count > uint64(len(data)) {
			return short
		}
		starts = starts[:0]
		for i := range count {
			starts = append(starts, number(12+4*i))
		}
	}
	for _, start := range starts {
		if start+12 > uint64(len(data)) {
			return short
		}
		switch string(data[start : start+4]) {
		case "\x00\x01\x00\x00", "OTTO", "true", "typ1":
		default:
			return fmt.Errorf("%w: it is no TrueType or OpenType font", ErrFont)
		}
		tables := uint64(binary.BigEndian.Uint16(data[start+4:]))
		for i := range tables {
			record := start + 12 + 16*i
			if record+16 > uint64(len(data)) || number(record+8)+number(record+12) > uint64(len(data)) {
				return short
			}
		}
	}
	return nil
}

// draws reports whether a face has an outline for a letter.
func draws(face *font.Face, r rune) bool {
	glyph, ok := face.NominalGlyph(r)
	if !ok || glyph == 0 {
		return false
	}
	outline, ok := face.GlyphDataOutline(glyph)
	return ok && len(outline.Segments) > 0
}

var builtIn = sync.OnceValues(func() (*Font, error) { return ReadFont(gomedium.TTF) })

// Undrawn returns the letters of a name that neither the built-in font, which has Latin,
// Greek and Cyrillic, nor one of fonts can draw, each once. A tag shows boxes in their
// place.
func Undrawn(name string, fonts ...*Font) string {
	faces, err := newTypefaces(fonts)
	if err != nil {
		return name
	}
	var lacks strings.Builder
	for _, r := range clean(name) {
		if _, ok := faces.of(r); !ok && !strings.ContainsRune(lacks.String(), r) {
			lacks.WriteRune(r)
		}
	}
	return lacks.String()
}

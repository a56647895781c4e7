package pixels

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/gif"
	"slices"
)

// gifFilm is a GIF's frames and its screen.
type gifFilm struct {
	data   []byte
	limits Limits
	head   int // bytes before the first frame
	frames []gifFrame
	screen *RGB // as the last frame left it; nil before the first
}

// gifFrame is where a frame of a GIF is and how it is put on the screen.
type gifFrame struct {
	start, end  int // of its blocks, from the graphic control extension on
	at          image.Rectangle
	table       []byte // RGB of each index
	transparent int    // -1: none
	disposal    byte
}

// The disposals of GIF89a.
const (
	toBackground = 2
	toPrevious   = 3
)

func isGIF(data []byte) bool { return starts(data, "GIF8?a") }

// newGIFFilm finds the frames, up to the trailer or to damage.
func newGIFFilm(data []byte, limits Limits) (*gifFilm, error) {
	a := &gifFilm{data: data, limits: limits, head: 13}
	if len(data) < a.head {
		return a, nil
	}
	if err := tooLarge("GIF", a.width(), a.height(), limits); err != nil {
		return nil, err
	}
	var global []byte
	if flags := data[10]; flags&0x80 != 0 {
		a.head += 3 << (1 + flags&7)
		if a.head > len(data) {
			return a, nil
		}
		global = data[13:a.head]
	}
	frame := gifFrame{start: -1, transparent: -1}
	for at := a.head; at < len(data); {
		if frame.start < 0 {
			frame.start = at
		}
		switch data[at] {
		case 0x21: // an extension: a label and sub-blocks
			if at+8 <= len(data) && data[at+1] == 0xf9 && data[at+2] == 4 {
				frame.start, frame.disposal, frame.transparent = at, data[at+3]>>2&7, -1
				if data[at+3]&1 != 0 {
					frame.transparent = int(data[at+6])
				}
			}
			at = subBlocks(data, at+2)
		case 0x2c: // an image: its place, perhaps a table, the code size, sub-blocks
			if at+10 > len(data) {
				return a, nil
			}
			x, y := int(binary.LittleEndian.Uint16(data[at+1:])), int(binary.LittleEndian.Uint16(data[at+3:]))
			w, h := int(binary.LittleEndian.Uint16(data[at+5:])), int(binary.LittleEndian.Uint16(data[at+7:]))
			frame.at, frame.table = image.Rect(x, y, x+w, y+h), global
			flags := data[at+9]
			at += 10
			if flags&0x80 != 0 {
				size := 3 << (1 + flags&7)
				frame.table = data[min(at, len(data)):min(at+size, len(data))]
				at += size
			}
			at = subBlocks(data, at+1)
			frame.end = min(at, len(data))
			if a.frames = append(a.frames, frame); len(a.frames) > maxFrames {
				return nil, tooMany("GIF")
			}
			frame = gifFrame{start: -1, transparent: -1}
		default: // the trailer, or damage
			return a, nil
		}
	}
	return a, nil
}

// subBlocks returns the place after the sub-blocks that begin at a place. Each has its
// length before it, and one of length 0 is the last.
func subBlocks(data []byte, at int) int {
	for at < len(data) {
		size := int(data[at])
		at += 1 + size
		if size == 0 {
			break
		}
	}
	return at
}

func (a *gifFilm) len() int { return len(a.frames) }

func (a *gifFilm) frame(n int) (*RGB, error) {
	if n == 0 {
		first, err := Decode(bytes.NewReader(a.data), a.limits)
		if err != nil {
			return nil, err
		}
		a.screen = first.clone()
		a.dispose(a.frames[0], nil)
		return first, nil
	}
	frame := a.frames[n]
	pixels, err := a.indices(frame)
	if err != nil {
		return nil, err
	}
	if a.screen == nil { // the first frame is damaged
		a.screen = newRGB(a.width(), a.height())
	}
	before := a.screen
	if frame.disposal == toPrevious {
		a.screen = a.screen.clone()
	}
	a.draw(frame, pixels)
	shown := a.screen.clone()
	a.dispose(frame, before)
	return shown, nil
}

// indices decodes a frame alone, as a GIF of its own, which takes no memory for the
// others.
func (a *gifFilm) indices(frame gifFrame) (*image.Paletted, error) {
	alone := slices.Concat(a.data[:a.head], a.data[frame.start:frame.end], []byte{0x3b})
	f := format{name: "GIF", decode: fromReader(gif.Decode)}
	img, err := f.decodeSafely(alone)
	if err != nil {
		return nil, f.explain(err, alone)
	}
	pixels, ok := img.(*image.Paletted)
	if !ok || pixels.Rect != frame.at || !frame.at.In(image.Rect(0, 0, a.width(), a.height())) {
		return nil, fmt.Errorf("%w: it doesn't lie on the screen", ErrBroken)
	}
	return pixels, nil
}

func (a *gifFilm) width() int  { return int(binary.LittleEndian.Uint16(a.data[6:])) }
func (a *gifFilm) height() int { return int(binary.LittleEndian.Uint16(a.data[8:])) }

// draw puts a frame on the screen, except for its transparent pixels.
func (a *gifFilm) draw(frame gifFrame, pixels *image.Paletted) {
	for y := range frame.at.Dy() {
		row := a.screen.row(frame.at.Min.Y + y)[3*frame.at.Min.X:]
		for x, index := range pixels.Pix[y*pixels.Stride:][:frame.at.Dx()] {
			if i := 3 * int(index); int(index) != frame.transparent && i+3 <= len(frame.table) {
				copy(row[3*x:], frame.table[i:i+3])
			}
		}
	}
}

// dispose does what a frame asks for after it was shown. To the background means, as in
// Pillow, the table's colour of the transparent index, or else of the background's.
func (a *gifFilm) dispose(frame gifFrame, before *RGB) {
	switch {
	case frame.disposal == toPrevious && before != nil:
		a.screen = before
	case frame.disposal == toBackground:
		index := frame.transparent
		if index < 0 {
			index = int(a.data[11])
		}
		colour := []byte{0, 0, 0}
		if 3*index+3 <= len(frame.table) {
			colour = frame.table[3*index : 3*index+3]
		}
		at := frame.at.Intersect(image.Rect(0, 0, a.screen.Width, a.screen.Height))
		for y := at.Min.Y; y < at.Max.Y; y++ {
			row := a.screen.row(y)[3*at.Min.X : 3*at.Max.X]
			for x := 0; x < len(row); x += 3 {
				copy(row[x:], colour)
			}
		}
	}
}

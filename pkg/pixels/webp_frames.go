package pixels

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"golang.org/x/image/vp8l"
	"golang.org/x/image/webp"
)

// webpFilm is a WebP's frames and its canvas. Frames are put on the canvas as by
// libwebp's WebPAnimDecoder (anim_decode.c), which Pillow uses, so that the colours of
// transparent pixels are the same too.
type webpFilm struct {
	size    image.Point // of the canvas
	frames  [][]byte    // the bodies of the chunks ANMF
	canvas  *image.NRGBA
	key     bool            // whether the last frame needed none before it
	cleared image.Rectangle // what the last frame left clear
}

// isAnimatedWebP reports whether a chunk VP8X says that there are frames.
func isAnimatedWebP(data []byte) bool {
	return starts(data, "RIFF????WEBPVP8X") && len(data) >= animationHead && data[20]&2 != 0
}

// newWebPFilm finds the frames. A file that is no animation, or ends early, has none.
func newWebPFilm(data []byte, limits Limits) (*webpFilm, error) {
	if !wholeWebP(data) || len(data) < 30 {
		return new(webpFilm), nil
	}
	f := &webpFilm{size: webpCanvas(data[20:])}
	if err := tooLarge("WebP", f.size.X, f.size.Y, limits); err != nil {
		return nil, err
	}
	for rest := data[12:]; ; {
		id, body, next, ok := riffChunk(rest)
		switch {
		case !ok:
			return f, nil
		case id == "ANMF":
			if f.frames = append(f.frames, body); len(f.frames) > maxFrames {
				return nil, tooMany("WebP")
			}
		case id == "VP8 " || id == "VP8L":
			return new(webpFilm), nil
		}
		rest = next
	}
}

func (f *webpFilm) len() int { return len(f.frames) }

func (f *webpFilm) frame(n int) (*RGB, error) {
	var frame webpFrame
	kind := format{name: "WebP", decode: func(data []byte) (_ image.Image, err error) {
		if frame, err = animatedFrame(data, f.size); err != nil {
			return nil, err
		}
		return frame.withAlpha()
	}}
	decoded, err := kind.decodeSafely(f.frames[n])
	if err != nil {
		return nil, kind.explain(err, f.frames[n])
	}
	if f.canvas == nil {
		f.canvas = image.NewNRGBA(image.Rectangle{Max: f.size})
	}
	pixels := decoded.(*image.NRGBA) // withAlpha returns no other
	at := pixels.Rect.Add(frame.at)
	screen := image.Rectangle{Max: f.size}
	if f.canvas == nil {
		f.canvas = image.NewNRGBA(screen)
	}
	f.key = n == 0 || at == screen && (frame.replaces || !frame.hasAlpha()) || !f.cleared.Empty() && (f.cleared == screen || f.key)
	if f.key {
		clear(f.canvas.Pix)
	}
	f.put(pixels, at, f.key || frame.replaces)
	shown, err := FromImage(f.canvas)
	f.cleared = image.Rectangle{}
	if frame.disposed {
		f.cleared = at
		f.put(image.NewNRGBA(pixels.Rect), at, true)
	}
	return shown, err
}

// put puts pixels on the canvas, where they replace or are blended with what is there.
func (f *webpFilm) put(pixels *image.NRGBA, at image.Rectangle, replace bool) {
	for y := range at.Dy() {
		from := pixels.Pix[y*pixels.Stride:][:4*at.Dx()]
		to := f.canvas.Pix[f.canvas.PixOffset(at.Min.X, at.Min.Y+y):][:len(from)]
		if replace {
			copy(to, from)
			continue
		}
		for x := 0; x < len(from); x += 4 {
			if (image.Point{X: at.Min.X + x/4, Y: at.Min.Y + y}).In(f.cleared) {
				copy(to[x:x+4], from[x:x+4])
			} else {
				blendWebP(to[x:x+4], from[x:x+4])
			}
		}
	}
}

// blendWebP puts a pixel over another in the integers of libwebp's BlendPixelNonPremult.
func blendWebP(to, from []uint8) {
	switch above := uint32(from[3]); above {
	case 0:
	case 255:
		copy(to, from)
	default:
		below := uint32(to[3]) * (256 - above) >> 8
		scale := (1 << 24) / (above + below)
		for i := range 3 {
			to[i] = uint8((uint32(from[i])*above + uint32(to[i])*below) * scale >> 24)
		}
		to[3] = uint8(above + below)
	}
}

// hasAlpha reports whether the frame's bitstream says that some pixels are transparent.
func (f webpFrame) hasAlpha() bool {
	return f.alpha != nil || f.lossless && len(f.data) > 4 && f.data[4]&0x10 != 0
}

// withAlpha decodes the frame with its alpha.
func (f webpFrame) withAlpha() (*image.NRGBA, error) {
	if f.lossless {
		img, err := vp8l.Decode(bytes.NewReader(f.data))
		if err != nil {
			return nil, err
		}
		out, ok := img.(*image.NRGBA)
		if !ok {
			return nil, fmt.Errorf("webp: it decodes to %T", img)
		}
		return out, nil
	}
	m, err := f.decode()
	if err != nil {
		return nil, err
	}
	out := image.NewNRGBA(m.Bounds())
	for i := range m.Width * m.Height {
		copy(out.Pix[4*i:], m.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	if f.alpha == nil {
		return out, nil
	}
	// golang.org/x/image/webp decodes a chunk ALPH as a part of a file alone.
	img, err := webp.Decode(bytes.NewReader(f.still(m.Width, m.Height)))
	if err != nil {
		return nil, err
	}
	alpha, ok := img.(*image.NYCbCrA)
	if !ok {
		return nil, fmt.Errorf("webp: it decodes to %T", img)
	}
	for y := range m.Height {
		for x, a := range alpha.A[y*alpha.AStride:][:m.Width] {
			out.Pix[y*out.Stride+4*x+3] = a
		}
	}
	return out, nil
}

// still returns the frame as a WebP of its own.
func (f webpFrame) still(width, height int) []byte {
	w, h := width-1, height-1
	file := []byte("RIFF\x00\x00\x00\x00WEBP")
	for _, chunk := range []struct {
		id   string
		body []byte
	}{
		{"VP8X", []byte{0x10, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)}}, // it has alpha
		{"ALPH", f.alpha},
		{"VP8 ", f.data},
	} {
		file = binary.LittleEndian.AppendUint32(append(file, chunk.id...), uint32(len(chunk.body)))
		file = append(file, chunk.body...)
		file = append(file, make([]byte, len(chunk.body)%2)...)
	}
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	return file
}

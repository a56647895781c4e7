package pixels

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// This file reads the container because golang.org/x/image/webp refuses animations and
// gives no access to EXIF. It would also decode the alpha, which is dropped. The pixels
// of still pictures, converted by fromVP8, are the same. Layout:
// https://developers.google.com/speed/webp/docs/riff_container

// webpFrame is a WebP file's picture, or a frame of an animation.
type webpFrame struct {
	screen   image.Point // size of the whole picture
	at       image.Point // top-left corner of the frame on the screen
	replaces bool        // what it covers, in place of being blended with it
	disposed bool        // it leaves its place clear
	lossless bool
	data     []byte // a VP8 or VP8L bitstream
	alpha    []byte // a chunk ALPH beside VP8; nil: none
}

// riffChunk returns the first chunk of data, which has no RIFF header, and the rest. If
// the chunk ends early, its body is shorter than its header states.
func riffChunk(data []byte) (id string, body, rest []byte, ok bool) {
	if len(data) < 8 {
		return "", nil, nil, false
	}
	size := uint64(binary.LittleEndian.Uint32(data[4:]))
	id, data = string(data[:4]), data[8:]
	if size > uint64(len(data)) {
		return id, data, nil, true
	}
	body, rest = data[:size], data[size:]
	if size%2 == 1 && len(rest) > 0 { // chunks are padded to even sizes
		rest = rest[1:]
	}
	return id, body, rest, true
}

// wholeWebP reports whether the file is as long as its header states.
func wholeWebP(data []byte) bool {
	return len(data) >= 12 && uint64(len(data)) >= 8+uint64(binary.LittleEndian.Uint32(data[4:]))
}

func findWebPFrame(data []byte) (webpFrame, error) {
	var f webpFrame
	if !wholeWebP(data) {
		return f, io.ErrUnexpectedEOF
	}
	var canvas image.Point
	for rest := data[12:]; ; {
		id, body, next, ok := riffChunk(rest)
		if !ok {
			return f, fmt.Errorf("webp: no picture found: %w", io.ErrUnexpectedEOF)
		}
		switch id {
		case "VP8X":
			if len(body) < 10 {
				return f, io.ErrUnexpectedEOF
			}
			if canvas == (image.Point{}) { // the first counts
				canvas = webpCanvas(body)
			}
		case "ANMF":
			return animatedFrame(body, canvas)
		case "VP8 ", "VP8L":
			f.lossless, f.data = id == "VP8L", body
			size, err := f.size()
			switch {
			case err != nil:
				return f, err
			case isAnimatedWebP(data):
				return f, errors.New("webp: a picture beside the frames of an animation")
			case canvas == image.Point{}:
				canvas = size
			case canvas != size:
				return f, errors.New("webp: canvas and picture differ in size")
			}
			f.screen = canvas
			return f, nil
		}
		rest = next
	}
}

// webpCanvas returns the size in a chunk VP8X.
func webpCanvas(body []byte) image.Point { return image.Pt(1+uint24(body[4:]), 1+uint24(body[7:])) }

// animatedFrame returns the frame in a chunk ANMF.
func animatedFrame(body []byte, canvas image.Point) (webpFrame, error) {
	f := webpFrame{screen: canvas}
	if len(body) < 16 {
		return f, io.ErrUnexpectedEOF
	}
	f.at = image.Pt(2*uint24(body), 2*uint24(body[3:]))
	window := image.Pt(1+uint24(body[6:]), 1+uint24(body[9:]))
	f.replaces, f.disposed = body[15]&2 != 0, body[15]&1 != 0
	for rest := body[16:]; ; {
		id, body, next, ok := riffChunk(rest)
		if !ok {
			return f, fmt.Errorf("webp: no picture found: %w", io.ErrUnexpectedEOF)
		}
		switch id {
		case "ALPH":
			f.alpha = body
		case "VP8 ", "VP8L":
			f.lossless, f.data = id == "VP8L", body
			size, err := f.size()
			if err == nil && (size != window || f.at.X+size.X > canvas.X || f.at.Y+size.Y > canvas.Y) {
				err = errors.New("webp: the frame does not fit on the canvas")
			}
			return f, err
		}
		rest = next
	}
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// size returns the size in the bitstream's own header, which the decoder allocates.
func (f webpFrame) size() (image.Point, error) {
	if f.lossless {
		c, err := vp8l.DecodeConfig(bytes.NewReader(f.data))
		return image.Pt(c.Width, c.Height), err
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.data), len(f.data))
	h, err := d.DecodeFrameHeader()
	if err == nil && !h.KeyFrame {
		err = errors.New("vp8: the picture is not a key frame")
	}
	return image.Pt(h.Width, h.Height), err
}

func webpConfig(data []byte) (image.Config, error) {
	f, err := findWebPFrame(data)
	return sized(f.screen.X, f.screen.Y), err
}

func decodeWebP(data []byte) (image.Image, error) {
	f, err := findWebPFrame(data)
	if err != nil {
		return nil, err
	}
	m, err := f.decode()
	if err != nil || f.screen == (image.Point{X: m.Width, Y: m.Height}) {
		return m, err
	}
	return m.on(f.screen, f.at), nil
}

func (f webpFrame) decode() (*RGB, error) {
	if f.lossless {
		img, err := vp8l.Decode(bytes.NewReader(f.data))
		if err != nil {
			return nil, err
		}
		return FromImage(img)
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.data), len(f.data))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return nil, err
	}
	img, err := d.DecodeFrame()
	if err != nil {
		return nil, err
	}
	m := newRGB(img.Rect.Dx(), img.Rect.Dy())
	m.fromVP8(img)
	return m, nil
}

// fromVP8 converts a lossy WebP's luma and chroma as libwebp does. Unlike in a JPEG,
// their range is 16 to 235, and chroma is interpolated along both axes at once, weighted
// 9, 3, 3 and 1 (UpsampleRgbLinePair in libwebp's upsampling.c). Converted like a JPEG,
// pixels would be off by 9 on average (testdata/formats/lossy.webp).
func (m *RGB) fromVP8(img *image.YCbCr) {
	width, height := (m.Width+1)/2, (m.Height+1)/2
	var chroma [2][]uint8
	for i := range chroma {
		chroma[i] = make([]uint8, 2*width)
	}
	for y := range m.Height {
		near := y / 2
		far := min(max(near-1+2*(y%2), 0), height-1)
		for i, plane := range [2][]uint8{img.Cb, img.Cr} {
			upsampleVP8(chroma[i], plane[near*img.CStride:][:width], plane[far*img.CStride:][:width])
		}
		vp8Row(m.row(y), img.Y[y*img.YStride:][:m.Width], chroma[0], chroma[1])
	}
}

func upsampleVP8(out, near, far []uint8) {
	last := len(near) - 1
	out[0] = uint8((3*int(near[0]) + int(far[0]) + 2) >> 2)
	out[2*last+1] = uint8((3*int(near[last]) + int(far[last]) + 2) >> 2)
	for i := range last {
		a, b := int(near[i]), int(near[i+1])
		c, d := int(far[i]), int(far[i+1])
		sum := a + b + c + d + 8
		out[2*i+1] = uint8(((sum+2*(b+c))>>3 + a) >> 1)
		out[2*i+2] = uint8(((sum+2*(a+d))>>3 + b) >> 1)
	}
}

// vp8Row converts a row with the fixed-point factors of libwebp's yuv.h.
func vp8Row(to, luma, cb, cr []uint8) {
	for x, y := range luma {
		y, u, v := int32(y)*19077>>8, int32(cb[x]), int32(cr[x])
		p := to[3*x:][:3]
		p[0] = clamp8((y + v*26149>>8 - 14234) >> 6)
		p[1] = clamp8((y - u*6419>>8 - v*13320>>8 + 8708) >> 6)
		p[2] = clamp8((y + u*33050>>8 - 17685) >> 6)
	}
}

// Package pixels converts encoded pictures and Go images to the detector's form: upright,
// 8-bit, three channels.
//
// Positions are in pixels of the upright picture, with x to the right and y down. Pixel
// (x, y) covers the square from its top-left corner (x, y) to (x+1, y+1).
//
// The pixels equal the result of Pillow's open, ImageOps.exif_transpose and
// convert("RGB"), so that boxes and crops agree with a Python pipeline:
//
//   - alpha is dropped, not blended: a transparent pixel keeps its hidden colour, in a GIF
//     the colour of its table;
//   - 16 bits become 8 by their high byte (Pillow does the same for colour, but clips
//     16-bit grey at 255);
//   - colour profiles and gamma are ignored.
//
// Functions are safe for concurrent use. So is a picture that nothing writes to.
package pixels

import (
	"errors"
	"fmt"
	"image"
	"image/color"
)

// Errors of this package, for errors.Is.
var (
	// ErrTooLarge is returned for a picture of more pixels or bytes than the limit.
	ErrTooLarge = errors.New("picture is too large")
	// ErrFormat is returned for data of a format, or a variant of one, that Decode
	// doesn't read.
	ErrFormat = errors.New("not a picture that can be read")
	// ErrEmpty is returned for a picture without bytes or pixels.
	ErrEmpty = errors.New("picture is empty")
	// ErrBroken is returned for a picture whose data is damaged or ends early.
	ErrBroken = errors.New("picture is broken")
)

// RGB is a picture of Width x Height pixels. It is an opaque image.Image whose top-left
// corner is (0, 0).
type RGB struct {
	// Pix holds each pixel's red, green and blue, row by row from the top, without
	// padding: 3 * Width * Height bytes, [Height,Width,3].
	Pix           []uint8
	Width, Height int
	// Orientation is the orientation that the file states, as in EXIF: 1 is upright, 2 is
	// mirrored, 3 is turned by 180°, 4 is both, and 5 to 8 are turned by 90°. Decode has
	// undone it, unless Limits.AsStored is set. 0 is none.
	Orientation int
	// Hint says why the picture may not look as expected, in one sentence without a full
	// stop. It is "" for most pictures.
	Hint string
}

func newRGB(width, height int) *RGB {
	return &RGB{Pix: make([]uint8, 3*width*height), Width: width, Height: height}
}

// ColorModel returns color.RGBAModel.
func (m *RGB) ColorModel() color.Model { return color.RGBAModel }

// Bounds returns the rectangle from (0, 0) to (Width, Height).
func (m *RGB) Bounds() image.Rectangle { return image.Rect(0, 0, m.Width, m.Height) }

// Opaque returns true, so that encoders leave out the alpha channel.
func (m *RGB) Opaque() bool { return true }

// At returns the pixel at (x, y) as a color.RGBA. Outside the picture it returns
// transparent black.
func (m *RGB) At(x, y int) color.Color {
	if !(image.Point{X: x, Y: y}).In(m.Bounds()) {
		return color.RGBA{}
	}
	p := m.Pix[3*(y*m.Width+x):][:3]
	return color.RGBA{R: p[0], G: p[1], B: p[2], A: 0xff}
}

// RGBA64At returns the pixel at (x, y) without an allocation, for package image/draw.
func (m *RGB) RGBA64At(x, y int) color.RGBA64 {
	if !(image.Point{X: x, Y: y}).In(m.Bounds()) {
		return color.RGBA64{}
	}
	p := m.Pix[3*(y*m.Width+x):][:3]
	return color.RGBA64{R: uint16(p[0]) * 0x101, G: uint16(p[1]) * 0x101, B: uint16(p[2]) * 0x101, A: 0xffff}
}

// fill sets each pixel.
func (m *RGB) fill(r, g, b uint8) {
	for i := 0; i < len(m.Pix); i += 3 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = r, g, b
	}
}

// put copies the pixels of from, which must fit, to a position.
func (m *RGB) put(from *RGB, at image.Point) {
	for y := range from.Height {
		copy(m.row(at.Y + y)[3*at.X:], from.row(y))
	}
}

func (m *RGB) row(y int) []uint8 { return m.Pix[3*y*m.Width : 3*(y+1)*m.Width] }

// maxPixels bounds FromImage's allocation. An image.Image such as image.Uniform can have
// any bounds without holding a pixel.
const maxPixels = 1 << 30

// FromImage converts img. It returns an *RGB itself, and copies any other image. The
// picture's top-left corner is img.Bounds().Min.
//
// Premultiplied colours (image.RGBA) are divided by their alpha; a pixel of alpha 0 is
// black. An image.YCbCr is converted like a JPEG's (JFIF, full range), with chroma
// interpolated as in libjpeg. The YCbCr of a WebP file has another range: use Decode for
// it. A palette index without a colour is black.
//
// FromImage fails with ErrEmpty if img is nil or has no pixels, with ErrTooLarge if it
// has more than 2^30, and with ErrBroken if it is an *RGB whose Pix doesn't have its
// size.
func FromImage(img image.Image) (*RGB, error) {
	if img == nil {
		return nil, fmt.Errorf("%w: the image is nil", ErrEmpty)
	}
	if m, ok := img.(*RGB); ok {
		if err := m.check(); err != nil {
			return nil, err
		}
		return m, nil
	}
	b := img.Bounds()
	if b.Empty() {
		return nil, fmt.Errorf("%w: it is %d x %d pixels", ErrEmpty, b.Dx(), b.Dy())
	}
	width, height := uint64(b.Dx()), uint64(b.Dy()) // int may overflow
	if width > maxPixels/height {
		return nil, fmt.Errorf("%w: it is %d x %d, more than %d pixels", ErrTooLarge, width, height, maxPixels)
	}
	out := newRGB(b.Dx(), b.Dy())
	switch img := img.(type) {
	case *image.NRGBA:
		out.from4(img.Pix[img.PixOffset(b.Min.X, b.Min.Y):], img.Stride)
	case *image.RGBA:
		if img.Opaque() {
			out.from4(img.Pix[img.PixOffset(b.Min.X, b.Min.Y):], img.Stride)
		} else {
			out.fromAny(img)
		}
	case *image.YCbCr:
		out.fromYCbCr(img)
	case *image.NYCbCrA:
		out.fromYCbCr(&img.YCbCr)
	case *image.Gray:
		for y := range out.Height {
			from := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			to := out.row(y)
			for x, v := range from[:out.Width] {
				to[3*x], to[3*x+1], to[3*x+2] = v, v, v
			}
		}
	case *image.Paletted:
		out.fromPaletted(img)
	case *image.CMYK:
		out.fromCMYK(img)
	case *image.NRGBA64:
		// fromAny would lose the colour of a transparent pixel.
		for y := range out.Height {
			from := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			to := out.row(y)
			for x := range out.Width {
				to[3*x], to[3*x+1], to[3*x+2] = from[8*x], from[8*x+2], from[8*x+4]
			}
		}
	case *image.Gray16:
		for y := range out.Height {
			from := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			to := out.row(y)
			for x := range out.Width {
				to[3*x], to[3*x+1], to[3*x+2] = from[2*x], from[2*x], from[2*x]
			}
		}
	default:
		out.fromAny(img)
	}
	return out, nil
}

// darkGrey returns a hint if img has 16-bit greys of 14 bits or fewer, as many cameras
// and scanners store them: their high bytes are dark.
func darkGrey(img image.Image) string {
	grey, ok := img.(*image.Gray16)
	if !ok {
		return ""
	}
	most := 0
	for i := 0; i+1 < len(grey.Pix); i += 2 {
		most = max(most, int(grey.Pix[i])<<8|int(grey.Pix[i+1]))
	}
	if most == 0 || most >= 1<<14 {
		return ""
	}
	return fmt.Sprintf("its 16-bit greys reach %d of 65535, so it looks dark here; stretch them first, as with: magick IN -auto-level OUT.png", most)
}

func (m *RGB) check() error {
	switch {
	case m == nil:
		return fmt.Errorf("%w: the picture is nil", ErrEmpty)
	case m.Width <= 0 || m.Height <= 0:
		return fmt.Errorf("%w: it is %d x %d pixels", ErrEmpty, m.Width, m.Height)
	case m.Width > maxPixels/m.Height:
		return fmt.Errorf("%w: it is %d x %d, more than %d pixels", ErrTooLarge, m.Width, m.Height, maxPixels)
	case len(m.Pix) != 3*m.Width*m.Height:
		return fmt.Errorf("%w: Pix has %d bytes, but %d x %d pixels take %d", ErrBroken, len(m.Pix), m.Width, m.Height, 3*m.Width*m.Height)
	}
	return nil
}

// from4 copies the first three of every four bytes.
func (m *RGB) from4(pix []uint8, stride int) {
	for y := range m.Height {
		from, to := pix[y*stride:][:4*m.Width], m.row(y)
		for len(from) >= 4 && len(to) >= 3 {
			to[0], to[1], to[2] = from[0], from[1], from[2]
			from, to = from[4:], to[3:]
		}
	}
}

func (m *RGB) fromPaletted(img *image.Paletted) {
	var colours [256][3]uint8
	for i, c := range img.Palette[:min(len(img.Palette), 256)] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		colours[i] = [3]uint8{n.R, n.G, n.B}
	}
	for y := range m.Height {
		from := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		to := m.row(y)
		for x, index := range from[:m.Width] {
			copy(to[3*x:], colours[index][:])
		}
	}
}

func (m *RGB) fromCMYK(img *image.CMYK) {
	for y := range m.Height {
		from := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		to := m.row(y)
		for x := range m.Width {
			white := 255 - from[4*x+3]
			for c := range 3 {
				to[3*x+c] = under(from[4*x+c], white)
			}
		}
	}
}

// fromAny calls img.At for each pixel.
func (m *RGB) fromAny(img image.Image) {
	origin := img.Bounds().Min
	for y := range m.Height {
		to := m.row(y)
		for x := range m.Width {
			c := color.NRGBAModel.Convert(img.At(origin.X+x, origin.Y+y)).(color.NRGBA)
			to[3*x], to[3*x+1], to[3*x+2] = c.R, c.G, c.B
		}
	}
}

package pixels

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/tiff"

	"github.com/clipdet/clipdet/pkg/internal/files"
	"github.com/clipdet/clipdet/pkg/pixels/internal/jpeg"
)

// Limits bounds the pictures that Decode accepts, and says how it takes them. The zero
// Limits are the defaults.
type Limits struct {
	// Pixels is the largest width times height, 100 million if 0 or less. It is checked
	// before any pixel is decoded. Decoding takes 5 to 8 bytes of memory per pixel for
	// most pictures, and up to 16 for a progressive CMYK JPEG.
	Pixels int64
	// Bytes is the largest size of the encoded picture, 512 MiB if 0 or less.
	Bytes int64
	// AsStored leaves the picture as it is stored and doesn't turn it upright. Some data
	// sets are annotated so, by tools that ignore the orientation.
	AsStored bool
}

func (l Limits) orDefault() Limits {
	if l.Pixels <= 0 {
		l.Pixels = 100e6
	}
	if l.Bytes <= 0 {
		l.Bytes = 512 << 20
	}
	l.Bytes = min(l.Bytes, math.MaxInt64-1) // Decode adds 1
	return l
}

// format is a format that Decode reads. Its functions take the whole file.
type format struct {
	name, magic string
	config      func([]byte) (image.Config, error)
	decode      func([]byte) (image.Image, error)
	metadata    func([]byte) metadata // nil if the format has none
}

var formats = []format{
	{"JPEG", "\xff\xd8\xff", jpegConfig, decodeJPEG, jpegMetadata},
	{"PNG", pngSignature, pngConfig, decodePNG, pngMetadata},
	{"WebP", "RIFF????WEBP", webpConfig, decodeWebP, webpMetadata},
	{"GIF", "GIF8?a", fromReader(gif.DecodeConfig), decodeGIF, nil},
	{"BMP", "BM????\x00\x00\x00\x00", bmpConfig, decodeBMP, nil},
	{"TIFF", "II*\x00", fromReader(tiff.DecodeConfig), decodeTIFF, tiffMetadata},
	{"TIFF", "MM\x00*", fromReader(tiff.DecodeConfig), decodeTIFF, tiffMetadata},
}

func fromReader[T any](f func(io.Reader) (T, error)) func([]byte) (T, error) {
	return func(data []byte) (T, error) { return f(bytes.NewReader(data)) }
}

// starts reports whether data starts with magic. A ? in magic is any byte.
func starts(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != data[i] {
			return false
		}
	}
	return true
}

// Decode reads a picture and turns it upright by the orientation that its EXIF, or else
// its XMP, states. The formats are JPEG (baseline and progressive; grey, colour and CMYK),
// PNG, WebP, GIF, BMP, and TIFF (grey, palette and RGB of 1, 8 or 16 bits; plain, LZW,
// Deflate, PackBits and CCITT). The content determines the format, not a name. An
// animation gives its first frame, and a TIFF its first page. Pixels that a WebP's frame
// doesn't cover are black. Pixels around a GIF's frame have its transparent colour, or
// else its first colour.
//
// Decode reads r once, to its end or to one byte beyond limits.Bytes. It returns a
// complete picture or an error, never a part of a picture. A JPEG or PNG that only lacks
// the mark of its end is complete. The error wraps ErrEmpty,
// ErrFormat, ErrTooLarge or ErrBroken, or it is an error of r.
func Decode(r io.Reader, limits Limits) (*RGB, error) {
	limits = limits.orDefault()
	// The first bytes decide whether to read the rest.
	var head [64]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	f, err := identify(head[:n])
	if err != nil {
		return nil, err
	}
	data, err := files.ReadAll(io.MultiReader(bytes.NewReader(head[:n]), r), limits.Bytes)
	switch {
	case errors.Is(err, files.ErrTooLarge):
		return nil, tooManyBytes(limits)
	case err != nil:
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	return f.read(data, limits)
}

// Size returns the width and height of an encoded picture, as it is stored, from its
// header. It decodes no pixels, so it doesn't find all damage. It fails as Decode does.
func Size(data []byte, limits Limits) (width, height int, err error) {
	limits = limits.orDefault()
	f, err := identify(data)
	if err != nil {
		return 0, 0, err
	}
	if int64(len(data)) > limits.Bytes {
		return 0, 0, tooManyBytes(limits)
	}
	return f.size(data, limits)
}

// DecodeFile decodes a regular file as Decode does. Its errors name the file. It refuses
// a pipe or a device with ErrFormat, because either may have no end or no data.
func DecodeFile(path string, limits Limits) (*RGB, error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s: %w: it is a directory", path, ErrFormat)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: it is not a regular file (%v); copy it into one", path, ErrFormat, info.Mode().Type())
	case info.Size() > limits.orDefault().Bytes:
		return nil, fmt.Errorf("%s: %w", path, tooManyBytes(limits.orDefault()))
	}
	m, err := Decode(f, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func tooManyBytes(limits Limits) error {
	return fmt.Errorf("%w: it has more than %d bytes; store it smaller or raise the limit", ErrTooLarge, limits.Bytes)
}

func identify(head []byte) (format, error) {
	if len(head) == 0 {
		return format{}, fmt.Errorf("%w: there are no bytes", ErrEmpty)
	}
	for _, f := range formats {
		if starts(head, f.magic) {
			return f, nil
		}
	}
	return format{}, fmt.Errorf("%w: %s", ErrFormat, unknown(head))
}

func (f format) read(data []byte, limits Limits) (*RGB, error) {
	if _, _, err := f.size(data, limits); err != nil {
		return nil, err
	}
	img, err := f.decodeSafely(data)
	if err != nil {
		return nil, f.explain(err, data)
	}
	m, err := FromImage(img)
	if err != nil {
		return nil, err
	}
	m.Hint = darkGrey(img)
	if f.metadata != nil {
		stated := f.metadata(data).orientation()
		if !limits.AsStored {
			hint := m.Hint
			m = m.upright(stated)
			m.Hint = hint
		}
		m.Orientation = stated
	}
	return m, nil
}

// size returns the size that the header states, if it is within the limits.
func (f format) size(data []byte, limits Limits) (width, height int, err error) {
	config, err := f.config(data)
	if err != nil {
		return 0, 0, f.explain(err, data)
	}
	width, height = config.Width, config.Height
	if width <= 0 || height <= 0 {
		return 0, 0, fmt.Errorf("%w: the %s is %d x %d pixels", ErrEmpty, f.name, width, height)
	}
	if int64(width) > limits.Pixels/int64(height) {
		return 0, 0, fmt.Errorf("%w: the %s is %d x %d = %d pixels, over the limit of %d; scale it down or raise the limit",
			ErrTooLarge, f.name, width, height, int64(width)*int64(height), limits.Pixels)
	}
	return width, height, nil
}

var errPanic = errors.New("its decoder panicked")

// decodeSafely turns a decoder's panic into an error. Pictures come from strangers, and
// none of them may end the process. Decoders start no goroutines, so recover sees every
// panic.
func (f format) decodeSafely(data []byte) (img image.Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return f.decode(data)
}

// explain tells unsupported variants (ErrFormat) from damage (ErrBroken).
func (f format) explain(err error, data []byte) error {
	var pngKind png.UnsupportedError
	var tiffKind tiff.UnsupportedError
	switch {
	case errors.Is(err, jpeg.ErrUnsupported), errors.As(err, &pngKind), errors.Is(err, errBMPKind), errors.As(err, &tiffKind):
		return fmt.Errorf("%w: this kind of %s is not supported (%w); save it again as PNG or as a plain RGB JPEG", ErrFormat, f.name, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the %s ends early, after %d bytes (%w); fetch it again", ErrBroken, f.name, len(data), err)
	}
	return fmt.Errorf("%w: the %s is damaged (%w); fetch or save it again", ErrBroken, f.name, err)
}

// on returns a black picture of the screen's size with m at a position.
func (m *RGB) on(screen, at image.Point) *RGB {
	out := newRGB(screen.X, screen.Y)
	out.put(m, at)
	return out
}

// sized returns a config with a size alone.
func sized(width, height int) image.Config {
	return image.Config{ColorModel: color.RGBAModel, Width: width, Height: height}
}

package pixels

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

const formatsDir = "../../testdata/formats"

// pictures returns the names of the files in formatsDir that have expected pixels.
func pictures(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(formatsDir + "/*.ppm")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no expected pixels in %s: %v", formatsDir, err)
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = strings.TrimSuffix(filepath.Base(p), ".ppm")
	}
	return names
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(formatsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// expected reads the pixels that Pillow decodes from a picture.
func expected(t testing.TB, name string) *RGB {
	t.Helper()
	data := readFile(t, name+".ppm")
	var m RGB
	if _, err := fmt.Sscanf(string(data), "P6 %d %d 255\n", &m.Width, &m.Height); err != nil {
		t.Fatalf("%s.ppm: %v", name, err)
	}
	m.Pix = data[bytes.IndexByte(data, '\n')+1:]
	return &m
}

// compare fails unless two pictures are equal, and reports the difference.
func compare(t testing.TB, name string, got, want *RGB) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height || len(got.Pix) != len(want.Pix) {
		t.Errorf("%s: %d x %d pixels in %d bytes, want %d x %d", name, got.Width, got.Height, len(got.Pix), want.Width, want.Height)
		return
	}
	sum, most, where := 0, 0, 0
	for i := range got.Pix {
		d := int(got.Pix[i]) - int(want.Pix[i])
		d = max(d, -d)
		if sum += d; d > most {
			most, where = d, i
		}
	}
	if most > 0 {
		t.Errorf("%s: differs by %.4f on average and most, by %d, at x=%d y=%d: %v, want %v", name, float64(sum)/float64(len(got.Pix)),
			most, where/3%got.Width, where/3/got.Width, got.Pix[where/3*3:][:3], want.Pix[where/3*3:][:3])
	}
}

// TestDecodeEqualsPillow allows no difference, not even for JPEG.
func TestDecodeEqualsPillow(t *testing.T) {
	for _, name := range pictures(t) {
		m, err := DecodeFile(filepath.Join(formatsDir, name), Limits{})
		if err != nil {
			t.Error(err)
			continue
		}
		compare(t, name, m, expected(t, name))
	}
}

// TestNoHalfPicture truncates pictures. Those that still decode lack only an end mark.
func TestNoHalfPicture(t *testing.T) {
	for _, name := range pictures(t) {
		data, want := readFile(t, name), expected(t, name)
		for n := 1; n < len(data); n++ {
			if n > 64 && n < len(data)-32 {
				n += 6
			}
			m, err := Decode(bytes.NewReader(data[:n]), Limits{})
			switch {
			case err == nil:
				compare(t, fmt.Sprintf("the first %d of %d bytes of %s", n, len(data), name), m, want)
			case errors.Is(err, errPanic):
				t.Errorf("%s: its first %d bytes: %v", name, n, err)
			case n >= 16 && !errors.Is(err, ErrBroken):
				t.Errorf("%s: its first %d of %d bytes: %v, want ErrBroken", name, n, len(data), err)
			}
		}
	}
}

// pngHeader returns a PNG that ends after its header.
func pngHeader(width, height uint32) []byte {
	chunk := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	chunk = append(binary.BigEndian.AppendUint32(chunk, height), 8, 2, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
}

// patched returns data with other bytes at an offset.
func patched(data []byte, at int, bytes ...byte) []byte {
	data = slices.Clone(data)
	copy(data[at:], bytes)
	return data
}

func TestDecodeRefuses(t *testing.T) {
	jpg, png, webp, gif := readFile(t, "420.jpg"), readFile(t, "rgb.png"), readFile(t, "lossy.webp"), readFile(t, "plain.gif")
	animation := readFile(t, "animation-offset.webp")
	frame := bytes.Index(jpg, []byte{0xff, 0xc0})
	for _, test := range []struct {
		name   string
		data   []byte
		limits Limits
		want   error
		says   string
	}{
		{"no bytes", nil, Limits{}, ErrEmpty, "no bytes"},
		{"text", []byte("hello"), Limits{}, ErrFormat, "convert it to one of JPEG, PNG, WebP, GIF, BMP"},
		{"a TIFF", []byte("II*\x00\x08\x00\x00\x00"), Limits{}, ErrFormat, "it is TIFF"},
		{"a HEIC", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), Limits{}, ErrFormat, "it is HEIC"},
		{"half a signature", []byte("\x89PNG"), Limits{}, ErrFormat, ""},
		{"a signature alone", []byte("\xff\xd8\xff"), Limits{}, ErrBroken, "the JPEG ends early, after 3 bytes"},
		{"a PNG without pixels", pngHeader(0, 7), Limits{}, ErrEmpty, "0 x 7"},
		{"a JPEG without pixels", patched(jpg, frame+5, 0, 0), Limits{}, ErrEmpty, "the JPEG is 45 x 0 pixels"},
		// These have no pixels: limits are checked before pixels are decoded.
		{"a PNG beyond the default", pngHeader(10001, 10000), Limits{}, ErrTooLarge, "10001 x 10000 = 100010000 pixels, over the limit of 100000000"},
		{"a PNG at the default", pngHeader(10000, 10000), Limits{}, ErrBroken, "ends early"},
		{"a PNG of many pixels", pngHeader(1<<31-1, 1<<31-1), Limits{}, ErrTooLarge, "2147483647 x 2147483647"},
		{"one pixel too many", png, Limits{Pixels: 45*35 - 1}, ErrTooLarge, "45 x 35 = 1575 pixels, over the limit of 1574"},
		{"one byte too many", png, Limits{Bytes: int64(len(png)) - 1}, ErrTooLarge, "raise the limit"},
		{"a GIF with a large screen", patched(gif, 6, 0xff, 0xff, 0xff, 0xff), Limits{}, ErrTooLarge, "65535 x 65535"},
		{"a GIF with its frame off the screen", patched(gif, 6, 40, 0, 30, 0), Limits{}, ErrBroken, "frame"},
		{"a WebP with a large canvas", patched(animation, 24, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), Limits{}, ErrTooLarge, "16777216 x 16777216"},
		{"a WebP with its frame off the canvas", patched(animation, 24, 20, 0, 0, 20, 0, 0), Limits{}, ErrBroken, "canvas"},
		{"a WebP with a smaller picture than its frame", patched(animation, 58, 30), Limits{}, ErrBroken, "canvas"},
		{"a WebP that is no key frame", patched(webp, 20, webp[20]|1), Limits{}, ErrBroken, "key frame"},
		{"a PNG without its header", patched(png, 12, []byte("CgBI")...), Limits{}, ErrBroken, "header"},
		{"a damaged PNG", patched(png, 100, png[100]^1), Limits{}, ErrBroken, "damaged"},
		{"an arithmetic-coded JPEG", patched(jpg, frame+1, 0xc9), Limits{}, ErrFormat, "save it again"},
		{"a 12-bit JPEG", patched(jpg, frame+4, 12), Limits{}, ErrFormat, "12 bits"},
	} {
		_, err := Decode(bytes.NewReader(test.data), test.limits)
		if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: %v; want %q and %q", test.name, err, test.want, test.says)
		}
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	data := readFile(t, "rgb.png")
	if _, err := Decode(bytes.NewReader(data), Limits{Pixels: 45 * 35, Bytes: int64(len(data))}); err != nil {
		t.Errorf("45 x 35 pixels and %d bytes at limits of just that: %v", len(data), err)
	}
}

// endless is the start of a picture, followed by zeros without end.
type endless struct {
	start io.Reader
	taken int64
}

func (e *endless) Read(p []byte) (int, error) {
	n, err := e.start.Read(p)
	if err == io.EOF {
		clear(p)
		n = len(p)
	}
	e.taken += int64(n)
	return n, nil
}

func TestDecodeReadsOnceAndNoFurther(t *testing.T) {
	png := readFile(t, "rgb.png")
	m, err := Decode(iotest.OneByteReader(bytes.NewReader(png)), Limits{})
	if err != nil {
		t.Fatalf("byte by byte: %v", err)
	}
	compare(t, "byte by byte", m, expected(t, "rgb.png"))

	source := &endless{start: bytes.NewReader(png)}
	if _, err := Decode(source, Limits{Bytes: 5000}); !errors.Is(err, ErrTooLarge) || source.taken != 5001 {
		t.Errorf("endless: %v after %d bytes, want ErrTooLarge after 5001", err, source.taken)
	}
	source = &endless{start: strings.NewReader("no picture")}
	if _, err := Decode(source, Limits{}); !errors.Is(err, ErrFormat) || source.taken > 16 {
		t.Errorf("endless text: %v after %d bytes, want ErrFormat after 16 at most", err, source.taken)
	}

	broken := errors.New("line cut")
	for _, n := range []int{0, 5, 500} {
		_, err := Decode(io.MultiReader(bytes.NewReader(png[:n]), iotest.ErrReader(broken)), Limits{})
		if !errors.Is(err, broken) || errors.Is(err, ErrBroken) {
			t.Errorf("a reader that fails after %d bytes: %v, want its own error alone", n, err)
		}
	}
}

func TestDecodeFileErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.png") // nothing writes to it
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.png")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path   string
		limits Limits
		want   error
	}{
		{filepath.Join(dir, "missing.jpg"), Limits{}, fs.ErrNotExist},
		{empty, Limits{}, ErrEmpty},
		{filepath.Join(formatsDir, "rgb.png"), Limits{Bytes: 9}, ErrTooLarge},
		{filepath.Join(formatsDir, "rgb.png"), Limits{Pixels: 9}, ErrTooLarge},
		{dir, Limits{}, ErrFormat},
		{pipe, Limits{}, ErrFormat},
		{"/dev/zero", Limits{}, ErrFormat},
	} {
		_, err := DecodeFile(test.path, test.limits)
		if !errors.Is(err, test.want) || strings.Count(err.Error(), test.path) != 1 {
			t.Errorf("%s: %v; want %v and the path, once", test.path, err, test.want)
		}
	}
}

// FuzzDecode checks that any input gives a whole picture within the limits or one of four
// errors, and never a panic, caught or not.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(formatsDir + "/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in %s: %v", formatsDir, err)
	}
	for _, path := range files {
		if filepath.Ext(path) != ".ppm" {
			f.Add(readFile(f, filepath.Base(path)))
		}
	}
	const limit = 1 << 18
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(bytes.NewReader(data), Limits{Pixels: limit})
		if err != nil {
			if errors.Is(err, errPanic) {
				t.Fatalf("panic: %v", err)
			}
			for _, known := range []error{ErrEmpty, ErrFormat, ErrTooLarge, ErrBroken} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("error without a sentinel: %v", err)
		}
		if err := m.check(); err != nil || m.Width*m.Height > limit {
			t.Fatalf("%d x %d pixels: %v", m.Width, m.Height, err)
		}
	})
}

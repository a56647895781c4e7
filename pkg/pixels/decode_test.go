package pixels

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
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

// tiffEntry returns an entry of a directory, of one SHORT.
func tiffEntry(tag, value uint16) []byte { return entry(binary.LittleEndian, tag, 3, value) }

// tiffWith returns tiled.tiff's like: a TIFF of 8 x 8 RGB pixels with other entries.
func tiffWith(others ...[]byte) []byte {
	entries := map[uint16][]byte{}
	for _, e := range append([][]byte{
		tiffEntry(256, 8), tiffEntry(257, 8), tiffEntry(258, 8), tiffEntry(262, 2), tiffEntry(277, 3), tiffEntry(273, 200), tiffEntry(279, 192),
	}, others...) {
		entries[binary.LittleEndian.Uint16(e)] = e
	}
	// Three numbers of bits, which lie at the end.
	entries[258] = binary.LittleEndian.AppendUint32(entry(binary.LittleEndian, 258, 3, 0)[:8], 192)
	binary.LittleEndian.PutUint32(entries[258][4:], 3)
	var sorted [][]byte
	for _, tag := range slices.Sorted(maps.Keys(entries)) {
		sorted = append(sorted, entries[tag])
	}
	data := append(exifBlock(binary.LittleEndian, "II*\x00", sorted...), 0, 0, 0, 0)
	data = append(data, make([]byte, 400-len(data))...)
	copy(data[192:], []byte{8, 0, 8, 0, 8, 0})
	return data
}

// TestTIFFWith checks that tiffWith's TIFF alone is read, so that its refusals are due to
// the other entries.
func TestTIFFWith(t *testing.T) {
	if _, err := Decode(bytes.NewReader(tiffWith()), Limits{}); err != nil {
		t.Error(err)
	}
}

func TestHintOfDarkGrey(t *testing.T) {
	for name, want := range map[string]string{"grey-12bit.png": "reach 4095 of 65535", "grey-16bit.png": "", "grey.png": "", "rgb-16bit.png": ""} {
		m, err := DecodeFile(filepath.Join(formatsDir, name), Limits{})
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(m.Hint, want) || (want == "") != (m.Hint == "") {
			t.Errorf("%s: the hint %q, want %q", name, m.Hint, want)
		}
	}
}

// TestGIFAsPNG compares a logo on transparent white in two formats.
func TestGIFAsPNG(t *testing.T) {
	png, err := DecodeFile(filepath.Join(formatsDir, "case-logo.png"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	gif, err := DecodeFile(filepath.Join(formatsDir, "case-logo.gif"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "the GIF", gif, png)
}

func TestDecodeRefuses(t *testing.T) {
	jpg, png, webp, gif := readFile(t, "420.jpg"), readFile(t, "rgb.png"), readFile(t, "lossy.webp"), readFile(t, "plain.gif")
	animation, bmp := readFile(t, "animation-offset.webp"), readFile(t, "rgb.bmp")
	// Not in formatsDir, where each picture is read.
	arithmetic, err := os.ReadFile("testdata/arithmetic.jpg")
	if err != nil {
		t.Fatal(err)
	}
	frame := bytes.Index(jpg, []byte{0xff, 0xc0})
	for _, test := range []struct {
		name   string
		data   []byte
		limits Limits
		want   error
		says   string
	}{
		{"no bytes", nil, Limits{}, ErrEmpty, "no bytes"},
		{"text", []byte("hello"), Limits{}, ErrFormat, "convert it to one of JPEG, PNG, WebP, GIF, BMP, TIFF"},
		{"a HEIC", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), Limits{}, ErrFormat, "it is HEIC, which isn't read; convert it first, as with: heif-convert IN OUT.jpg"},
		{"a HEIC of a general brand", []byte("\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heicmiaf"), Limits{}, ErrFormat, "it is HEIC"},
		{"an AVIF", []byte("\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avifmif1miafMA1B"), Limits{}, ErrFormat, "it is AVIF, which isn't read; convert it first, as with: avifdec IN OUT.png"},
		{"an AVIF of a general brand", []byte("\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf"), Limits{}, ErrFormat, "it is AVIF"},
		{"a HEIF of another kind", []byte("\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1miaf"), Limits{}, ErrFormat, "it is HEIF"},
		{"a video", []byte("\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomavc1"), Limits{}, ErrFormat, "it is a video, which isn't read; convert it first, as with: ffmpeg"},
		{"a box alone", []byte("\x00\x00\x00\x08ftyp"), Limits{}, ErrFormat, "it is a video"},
		{"a JPEG XL", []byte("\xff\x0a\xfa\x5d"), Limits{}, ErrFormat, "it is JPEG XL"},
		{"the arithmetic-coded JPEG of a report", arithmetic, Limits{}, ErrFormat, "this kind of JPEG is not supported"},
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
		{"a TIFF without pixels", []byte("II*\x00\x08\x00\x00\x00\x00\x00"), Limits{}, ErrBroken, "the TIFF is damaged"},
		{"a TIFF of floats", tiffWith(tiffEntry(0x0153, 3)), Limits{}, ErrFormat, "sample format"},
		{"a TIFF in planes", tiffWith(tiffEntry(0x011c, 2)), Limits{}, ErrFormat, "a plane for each channel"},
		{"a raw file of a camera", tiffWith(tiffEntry(0xc612, 1)), Limits{}, ErrFormat, "a preview of a camera's raw file"},
		{"a TIFF of a preview", tiffWith(tiffEntry(0x00fe, 1)), Limits{}, ErrFormat, "a preview of a camera's raw file"},
		{"a TIFF of many pixels", tiffWith(tiffEntry(0x0100, 60000), tiffEntry(0x0101, 60000)), Limits{}, ErrTooLarge, "60000 x 60000"},
		{"a BMP of another header", patched(bmp, 14, 20), Limits{}, ErrFormat, "a header of 20 bytes"},
		{"a BMP of 64 bits", patched(bmp, 28, 64), Limits{}, ErrFormat, "of 64 bits"},
		{"a BMP of a JPEG", patched(bmp, 30, 4), Limits{}, ErrFormat, "compression 4 of 24 bits"},
		{"a BMP of other bit fields", patched(readFile(t, "16bit-565.bmp"), 54, 1), Limits{}, ErrFormat, "bit fields"},
		{"a BMP of many pixels", patched(bmp, 18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), Limits{}, ErrTooLarge, "4294967295 x 2147483647"},
		{"a BMP without pixels", patched(bmp, 18, 0, 0), Limits{}, ErrEmpty, "0 x 35"},
		{"a BMP with its pixels beyond the end", patched(bmp, 10, 0xff, 0xff, 0xff), Limits{}, ErrBroken, "ends early"},
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
	if _, err := Decode(source, Limits{}); !errors.Is(err, ErrFormat) || source.taken > 64 {
		t.Errorf("endless text: %v after %d bytes, want ErrFormat after 64 at most", err, source.taken)
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

func TestSizeIsThatOfTheHeader(t *testing.T) {
	for _, name := range []string{"../../testdata/photos/cat.jpg", "../../testdata/images/scene-002.jpg"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Decode(bytes.NewReader(data), Limits{AsStored: true})
		if err != nil {
			t.Fatal(err)
		}
		width, height, err := Size(data, Limits{})
		if err != nil || width != want.Width || height != want.Height {
			t.Errorf("%s: got %d x %d, %v; want %d x %d", name, width, height, err, want.Width, want.Height)
		}
		for what, limits := range map[string]Limits{"pixels": {Pixels: int64(width)*int64(height) - 1}, "bytes": {Bytes: int64(len(data)) - 1}} {
			if _, _, err := Size(data, limits); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: with one too few %s: got %v, want ErrTooLarge", name, what, err)
			}
		}
	}
	if _, _, err := Size(nil, Limits{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("without bytes: got %v, want ErrEmpty", err)
	}
	if _, _, err := Size([]byte("no picture"), Limits{}); !errors.Is(err, ErrFormat) {
		t.Errorf("of a text: got %v, want ErrFormat", err)
	}
}

package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests of package pixels compare whole pictures with libjpeg's.

const formatsDir = "../../../../testdata/formats"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(formatsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// segment returns the start and end of a marker's segment, without the marker.
func segment(t testing.TB, data []byte, marker byte) (from, to int) {
	t.Helper()
	at := bytes.Index(data, []byte{0xff, marker})
	if at < 0 {
		t.Fatalf("no marker %#x", marker)
	}
	return at + 2, at + 2 + int(data[at+2])<<8 + int(data[at+3])
}

func patched(data []byte, at int, bytes ...byte) []byte {
	data = slices.Clone(data)
	copy(data[at:], bytes)
	return data
}

// without returns data without its first segment of a kind.
func without(t testing.TB, data []byte, marker byte) []byte {
	from, to := segment(t, data, marker)
	return slices.Delete(slices.Clone(data), from-2, to)
}

func TestDecodeErrors(t *testing.T) {
	baseline, progressive := readFile(t, "444.jpg"), readFile(t, "444-progressive.jpg")
	restart := readFile(t, "restart.jpg")
	frame, frameEnd := segment(t, baseline, sof0)
	scan, scanEnd := segment(t, baseline, sos)
	quant, _ := segment(t, baseline, dqt)
	table, _ := segment(t, baseline, dht)
	pscan, pscanEnd := segment(t, progressive, sos)
	pframe, _ := segment(t, progressive, sof2)
	secondFrame := slices.Insert(slices.Clone(baseline), frameEnd, baseline[frame-2:frameEnd]...)
	// endless repeats the first scan of a progressive picture, which ends at secondScan.
	secondScan := pscanEnd + bytes.Index(progressive[pscanEnd:], []byte{0xff, dht})
	endless := slices.Clone(progressive[:secondScan])
	for range maxScans {
		endless = append(endless, progressive[pscan-2:secondScan]...)
	}
	rst := bytes.Index(restart, []byte{0xff, rst0})

	for _, test := range []struct {
		name string
		data []byte
		want error  // nil: any
		says string // part of the message
	}{
		{"nothing", nil, io.ErrUnexpectedEOF, ""},
		{"no segments", baseline[:2], io.ErrUnexpectedEOF, ""},
		{"a segment's size of 1", patched(baseline, 4, 0, 1), nil, "size of 1"},
		{"lossless", patched(baseline, frame-1, 0xc3), ErrUnsupported, "type 3"},
		{"arithmetic", patched(baseline, frame-1, 0xc9), ErrUnsupported, "type 9"},
		{"12 bits", patched(baseline, frame+2, 12), ErrUnsupported, "12 bits"},
		{"two components", patched(baseline, frame+7, 2), ErrUnsupported, "2 components"},
		{"more components than told of", patched(baseline, frame+7, 4), nil, "short frame header"},
		{"3 samples against 2", patched(patched(baseline, frame+9, 0x31), frame+12, 0x21), ErrUnsupported, "samples"},
		{"a sampling factor of 0", patched(baseline, frame+9, 0x10), nil, "out of range"},
		{"quantiser 4", patched(baseline, frame+10, 4), nil, "out of range"},
		{"two frames", secondFrame, nil, "second frame"},
		{"no frame", without(t, baseline, sof0), nil, "before the frame header"},
		{"no quantiser", without(t, without(t, baseline, dqt), dqt), nil, "quantisation table"},
		{"quantiser of three bytes a value", patched(baseline, quant+2, 0x20), nil, "quantisation table"},
		{"no Huffman tables", without(t, without(t, without(t, without(t, baseline, dht), dht), dht), dht), nil, "Huffman table"},
		{"more codes than fit", patched(baseline, table+3, 3), nil, "more codes than fit"},
		{"a scan of an unknown component", patched(baseline, scan+3, 77), nil, "no such component"},
		{"a scan of one component twice", patched(baseline, scan+5, baseline[scan+3]), nil, "twice"},
		{"a scan of none", patched(baseline, scan+2, 0), nil, "scan header"},
		{"a progressive scan from 5 to 3", patched(progressive, pscanEnd-3, 5, 3), nil, "scan header"},
		{"a progressive scan to 64", patched(progressive, pscanEnd-3, 5, 64), nil, "scan header"},
		{"a progressive scan of mean and rest", patched(progressive, pscanEnd-3, 0, 5), nil, "scan header"},
		{"an end in a scan", append(slices.Clone(baseline[:scanEnd+50]), 0xff, eoi), io.ErrUnexpectedEOF, ""},
		{"progressive without its last two channels", append(slices.Clone(without(t, progressive[:pscan-2], dht)), 0xff, eoi), nil, "each of its channels"},
		{"progressive without an end", progressive[:len(progressive)-2], io.ErrUnexpectedEOF, ""},
		{"scans without end", endless, nil, "more than 200 scans"},
		{"another restart marker", patched(restart, rst+1, rst0+3), nil, "in place of restart marker 0xd0"},
		{"no frame to a progressive scan", patched(progressive, pframe-1, 0xfe), nil, "before the frame header"},
	} {
		p, err := Decode(test.data)
		if err == nil {
			t.Errorf("%s: decoded to %d x %d", test.name, p.Width, p.Height)
			continue
		}
		if test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %v and %q", test.name, err, test.want, test.says)
		}
	}
}

// BenchmarkEmptyTables decodes 8 MB of Huffman tables without a code. It takes 0.4 s on a
// busy core, and 5 s if each table's short codes are cleared one by one.
func BenchmarkEmptyTables(b *testing.B) {
	data := readFile(b, "420.jpg")
	tables := append([]byte{0xff, dht, 0, 0}, make([]byte, 17*3800)...)
	binary.BigEndian.PutUint16(tables[2:], uint16(len(tables)-2))
	_, end := segment(b, data, sof0)
	file := append(slices.Clone(data[:end]), bytes.Repeat(tables, 128)...)
	for b.Loop() {
		if _, err := Decode(file); !errors.Is(err, io.ErrUnexpectedEOF) {
			b.Fatal(err)
		}
	}
}

// TestDecodeTolerates decodes files with faults that libjpeg ignores.
func TestDecodeTolerates(t *testing.T) {
	data := readFile(t, "420.jpg")
	want, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	frame, _ := segment(t, data, sof0)
	for name, data := range map[string][]byte{
		"no end marker":               data[:len(data)-2],
		"bytes after the end":         append(slices.Clone(data), "and more"...),
		"stray bytes before a marker": slices.Insert(slices.Clone(data), frame-2, 1, 2, 0xff, 0, 3),
		"fill bytes before a marker":  slices.Insert(slices.Clone(data), frame-2, 0xff, 0xff),
		"a restart marker too many":   slices.Insert(slices.Clone(data), len(data)-2, 0xff, rst0),
	} {
		got, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range got.Planes {
			if !bytes.Equal(got.Planes[i].Pix, want.Planes[i].Pix) {
				t.Errorf("%s: plane %d differs", name, i)
			}
		}
	}
}

// TestNearGo compares with Go's decoder, whose DCT rounds in another way.
func TestNearGo(t *testing.T) {
	for _, name := range []string{"444.jpg", "422.jpg", "420.jpg", "440.jpg", "411.jpg", "420-progressive.jpg", "restart.jpg", "quality-100.jpg", "quality-5.jpg"} {
		data := readFile(t, name)
		img, err := stdjpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		want := img.(*image.YCbCr)
		got, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if width, height, err := Size(data); err != nil || width != want.Rect.Dx() || height != want.Rect.Dy() {
			t.Errorf("%s: size %d x %d, %v; want %v", name, width, height, err, want.Rect.Max)
		}
		for i, plane := range [3][]uint8{want.Y, want.Cb, want.Cr} {
			p := got.Planes[i]
			stride := want.CStride
			if i == 0 {
				stride = want.YStride
			}
			for y := range p.Height {
				for x := range p.Width {
					if d := int(p.Pix[y*p.Stride+x]) - int(plane[y*stride+x]); d < -1 || d > 1 {
						t.Fatalf("%s: plane %d at (%d, %d) is %d, Go's %d", name, i, x, y, p.Pix[y*p.Stride+x], plane[y*stride+x])
					}
				}
			}
		}
	}
}

func TestColours(t *testing.T) {
	for _, test := range []struct {
		ids   string
		jfif  bool
		adobe int
		want  Colours
	}{
		{"1", false, -1, Grey},
		{"123", true, -1, YCbCr},
		{"123", true, 0, YCbCr},
		{"123", false, 0, RGB},
		{"123", false, 1, YCbCr},
		{"123", false, -1, YCbCr},
		{"RGB", false, -1, RGB},
		{"RGB", true, -1, YCbCr},
		{"1234", false, 0, CMYK},
		{"1234", false, 2, YCCK},
		{"1234", false, -1, CMYK},
	} {
		d := decoder{jfif: test.jfif, adobe: test.adobe}
		for i := range test.ids {
			d.components = append(d.components, component{id: test.ids[i]})
		}
		if got := d.colours(); got != test.want {
			t.Errorf("components %q, JFIF %v, Adobe %d: %d, want %d", test.ids, test.jfif, test.adobe, got, test.want)
		}
	}
}

// FuzzDecode checks that nothing panics and that each picture is whole.
func FuzzDecode(f *testing.F) {
	names, err := filepath.Glob(formatsDir + "/*.jpg")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds in %s: %v", formatsDir, err)
	}
	for _, name := range names {
		f.Add(readFile(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		width, height, err := Size(data)
		if err != nil || width*height > 1<<16 {
			return
		}
		p, err := Decode(data)
		if err != nil {
			return
		}
		if p.Width != width || p.Height != height {
			t.Fatalf("%d x %d, but its header says %d x %d", p.Width, p.Height, width, height)
		}
		for i, plane := range p.Planes {
			if need := fmt.Sprint(plane.Height, " rows of ", plane.Width); plane.Height*plane.Width > 0 && len(plane.Pix) < (plane.Height-1)*plane.Stride+plane.Width {
				t.Fatalf("plane %d has %d bytes for %s", i, len(plane.Pix), need)
			}
			if plane.Width*plane.SpanX < p.Width || plane.Height*plane.SpanY < p.Height {
				t.Fatalf("plane %d does not cover the picture: %+v", i, plane)
			}
		}
	})
}

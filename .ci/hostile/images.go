package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const tiny = "testdata/models/tiny"

// good are pictures whose results must not depend on the files beside them.
var good = []string{"testdata/formats/420.jpg", "testdata/formats/rgb.png", "testdata/formats/lossy.webp"}

var extensions = []string{".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}

// perProcess is the number of pictures of one process. They are in one directory.
const perProcess = 100

func detectArgs(path ...string) []string {
	return append([]string{"detect", "-q", "owl", "-q", "camera", "--models", tiny, "--text-cache", "", "--format", "jsonl", "--threshold", "0",
		"--top-k", "2", "--proposals", "5", "--threads", "1", "--max-megapixels", "5"}, path...)
}

// result is a line of jsonl.
type result struct {
	Image      string          `json:"image"`
	Error      string          `json:"error"`
	Detections json.RawMessage `json:"detections"`
}

func results(stdout string) (map[string]result, error) {
	found := map[string]result{}
	for line := range strings.Lines(stdout) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("%w: %.200s", err, line)
		}
		found[filepath.Base(r.Image)] = r
	}
	return found, nil
}

// images mutates n pictures and runs detect on them.
func (b *bench) images(n int) error {
	var sources [][]byte
	for _, pattern := range []string{"testdata/formats/*.*", "testdata/images/*.jpg"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			if !slices.Contains(extensions, filepath.Ext(path)) {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sources = append(sources, data)
		}
	}
	if len(sources) < 40 {
		return fmt.Errorf("%d pictures to mutate, want those of testdata/formats", len(sources))
	}
	alone := b.run("good pictures", detectArgs(good...)...)
	want, err := results(alone.stdout)
	if err != nil || alone.code != 0 || len(want) != len(good) {
		return fmt.Errorf("the good pictures alone: exit code %d, %w\n%s", alone.code, err, alone.stderr)
	}
	b.each((n+perProcess-1)/perProcess, func(batch int) {
		dir := filepath.Join(b.work, fmt.Sprintf("images-%04d", batch))
		kinds, err := b.mutatedImages(dir, sources, batch, min(perProcess, n-batch*perProcess))
		if err != nil {
			b.problem("%s: %v", dir, err)
			return
		}
		before := b.found()
		b.detectAll(dir, kinds, want)
		if b.found() == before {
			_ = os.RemoveAll(dir)
		}
	})
	return nil
}

// mutatedImages writes a batch and the good pictures. It returns each file's kind of
// mutation.
func (b *bench) mutatedImages(dir string, sources [][]byte, batch, n int) (map[string]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(b.seed, uint64(batch)))
	kinds := map[string]string{}
	for i := range n {
		kind := imageMutations[r.IntN(len(imageMutations))]
		data := kind.mutate(r, bytes.Clone(sources[r.IntN(len(sources))]), sources[r.IntN(len(sources))])
		name := fmt.Sprintf("%03d%s", i, extensions[r.IntN(len(extensions))])
		kinds[name] = kind.name
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	for _, path := range good {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o644)
		}
		if err != nil {
			return nil, err
		}
	}
	return kinds, nil
}

func (b *bench) detectAll(dir string, kinds map[string]string, want map[string]result) {
	p := b.run(dir, detectArgs(dir)...)
	if !b.judge(dir, p) {
		return
	}
	found, err := results(p.stdout)
	if err != nil || len(found) != len(kinds)+len(want) || p.code > 1 {
		b.problem("%s: exit code %d, %d results for %d pictures: %v\n%.1000s", dir, p.code, len(found), len(kinds)+len(want), err, p.stderr)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		r := found[name]
		b.count("picture: "+kinds[name], r.Error == "")
		if r.Error != "" && (!strings.Contains(r.Error, name) || !strings.Contains(p.stderr, name)) {
			b.problem("%s/%s: its error doesn't name it: %s", dir, name, r.Error)
		}
		if r.Error != "" && strings.Contains(r.Error, "its decoder panicked") {
			b.problem("%s/%s: its decoder panicked: %s", dir, name, r.Error)
		}
	}
	for name, r := range want {
		if got := found[name]; !bytes.Equal(got.Detections, r.Detections) {
			b.problem("%s: the good %s gives %.200s (%s), and alone %.200s", dir, name, got.Detections, got.Error, r.Detections)
		}
	}
}

// filesOf calls do for each file below dir.
func filesOf(dir string, do func(string)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			do(path)
		}
		return nil // a missing directory is no problem
	})
}

// mutation changes data, which it owns. other is another input.
type mutation struct {
	name   string
	mutate func(r *rand.Rand, data, other []byte) []byte
}

var imageMutations = []mutation{
	{"bits flipped", func(r *rand.Rand, data, _ []byte) []byte { return flip(r, data, len(data)) }},
	{"bits of the header flipped", func(r *rand.Rand, data, _ []byte) []byte { return flip(r, data, 256) }},
	{"bits flipped, PNG checksums right", func(r *rand.Rand, data, _ []byte) []byte { return checksummed(flip(r, data, len(data))) }},
	{"truncated", func(r *rand.Rand, data, _ []byte) []byte { return data[:r.IntN(len(data))] }},
	{"spliced", splice},
	{"extreme numbers in the header", func(r *rand.Rand, data, _ []byte) []byte { return checksummed(extreme(r, data, 64)) }},
	{"extreme numbers anywhere", func(r *rand.Rand, data, _ []byte) []byte { return checksummed(extreme(r, data, len(data))) }},
	{"EXIF that loops", exifLoop},
	{"XMP and text of chance", madeText},
	{"PNG made wrong", madePNG},
	{"bytes of chance", func(r *rand.Rand, data, _ []byte) []byte {
		for i := 12 + r.IntN(32); i < len(data); i++ {
			data[i] = byte(r.Uint32())
		}
		return data
	}},
}

func flip(r *rand.Rand, data []byte, within int) []byte {
	within = min(within, len(data))
	for range 1 + r.IntN(16) {
		data[r.IntN(within)] ^= 1 << r.IntN(8)
	}
	return data
}

// splice puts a piece of other into data, over a part of it or between two.
func splice(r *rand.Rand, data, other []byte) []byte {
	from := r.IntN(len(other))
	piece := other[from : from+1+r.IntN(len(other)-from)]
	at := r.IntN(len(data))
	if r.IntN(2) == 0 {
		copy(data[at:], piece)
		return data
	}
	return slices.Concat(data[:at], piece, data[at:])
}

var extremes = []uint32{0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x00ffffff}

func extreme(r *rand.Rand, data []byte, within int) []byte {
	within = min(within, len(data)-4)
	if within <= 0 {
		return data
	}
	for range 1 + r.IntN(3) {
		at, value := r.IntN(within), extremes[r.IntN(len(extremes))]
		switch r.IntN(4) {
		case 0:
			binary.BigEndian.PutUint32(data[at:], value)
		case 1:
			binary.LittleEndian.PutUint32(data[at:], value)
		case 2:
			binary.BigEndian.PutUint16(data[at:], uint16(value))
		default:
			binary.LittleEndian.PutUint16(data[at:], uint16(value))
		}
	}
	return data
}

// checksummed corrects the checksums of a PNG's chunks, so that its decoder reads them.
func checksummed(data []byte) []byte {
	if !bytes.HasPrefix(data, []byte("\x89PNG")) {
		return data
	}
	for at := 8; at+12 <= len(data); {
		size := int(binary.BigEndian.Uint32(data[at:]))
		if size > len(data)-at-12 {
			break
		}
		binary.BigEndian.PutUint32(data[at+8+size:], crc32.ChecksumIEEE(data[at+4:at+8+size]))
		at += 12 + size
	}
	return data
}

// exifLoop puts an EXIF block into a JPEG. The block's directory points to itself and
// claims more entries than it has.
func exifLoop(r *rand.Rand, data, _ []byte) []byte {
	block := []byte("Exif\x00\x00II*\x00\x08\x00\x00\x00")
	entries := r.IntN(4)
	block = binary.LittleEndian.AppendUint16(block, []uint16{uint16(entries), 0xffff}[r.IntN(2)])
	for range entries {
		block = binary.LittleEndian.AppendUint16(block, []uint16{0x0112, 0x8769, 0x014a, 0x0201}[r.IntN(4)])
		block = binary.LittleEndian.AppendUint16(block, uint16(r.IntN(14)))
		block = binary.LittleEndian.AppendUint32(block, extremes[r.IntN(len(extremes))])
		block = binary.LittleEndian.AppendUint32(block, uint32(r.IntN(16)))
	}
	block = binary.LittleEndian.AppendUint32(block, 8) // the next directory is this one
	if !bytes.HasPrefix(data, []byte("\xff\xd8")) {
		return append(data, block...)
	}
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(block)+2-r.IntN(2)*r.IntN(len(block))))
	return slices.Concat(data[:2], segment, block, data[2:])
}

// madeText puts XMP, or a PNG's text in place of EXIF, of chance into a picture.
func madeText(r *rand.Rand, data, _ []byte) []byte {
	xmp := fmt.Appendf(nil, `<x tiff:Orientation%s%c`, []string{`="`, ">", "=", ""}[r.IntN(4)], rune('0'+r.IntN(12)))
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		body := append([]byte("http://ns.adobe.com/xap/1.0/\x00"), xmp...)
		segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
		return slices.Concat(data[:2], segment, body, data[2:])
	case bytes.HasPrefix(data, []byte("\x89PNG")) && len(data) > 33:
		body := append([]byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"), xmp...)
		id := "iTXt"
		if r.IntN(2) == 0 {
			id, body = "tEXt", append([]byte("Raw profile type exif\x00\nexif\n  10\n"), []string{"4949", "zz", "49492a0008000000010012010300010000000600000000000000", "\n\n"}[r.IntN(4)]...)
		}
		chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		chunk = append(append(append(chunk, id...), body...), 0, 0, 0, 0)
		return checksummed(slices.Concat(data[:33], chunk, data[33:]))
	}
	return extreme(r, data, 64)
}

// madePNG returns a PNG of an extreme shape, with pixels outside its palette, or with
// fewer or more pixels than it claims.
func madePNG(r *rand.Rand, _, _ []byte) []byte {
	width, height := 1+r.IntN(20), 1+r.IntN(20)
	switch r.IntN(4) {
	case 0:
		width = []int{1000, 65_535, 100_000, 1_000_000, 4_999_999}[r.IntN(5)]
		height = 1
	case 1:
		height = []int{1000, 65_535, 100_000, 1_000_000, 4_999_999}[r.IntN(5)]
		width = 1
	}
	depth, colour, perPixel := 8, 2, 3
	if r.IntN(2) == 0 {
		colour, perPixel = 3, 1
	}
	pixels := make([]byte, (1+width*perPixel)*height)
	for y := range height {
		row := pixels[y*(1+width*perPixel):][:1+width*perPixel]
		for x := 1; x < min(len(row), 1000); x++ {
			row[x] = byte(r.Uint32())
		}
		row[0] = byte(r.IntN(5)) // the row's filter
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = w.Write(pixels) // a Buffer takes all
	_ = w.Close()
	if r.IntN(3) == 0 { // its claimed height is wrong
		height = int(extremes[r.IntN(len(extremes))])
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	header = append(header, byte(depth), byte(colour), 0, 0, byte(r.IntN(2)*r.IntN(2)))
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(id string, body []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
		out = append(append(append(out, id...), body...), 0, 0, 0, 0)
	}
	chunk("IHDR", header)
	if colour == 3 {
		chunk("PLTE", make([]byte, 3*(1+r.IntN(4))))
	}
	chunk("IDAT", packed.Bytes())
	chunk("IEND", nil)
	return checksummed(out)
}

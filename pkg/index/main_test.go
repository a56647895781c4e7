package index

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

// open returns a detector of the tiny models, of random weights, with 20 regions a picture.
func open(t testing.TB) *detect.Detector {
	t.Helper()
	d, err := detect.Open(t.Context(), detect.Options{
		Models: model.Dir("../../testdata/models/tiny"), Device: "cpu", Threads: 1, Proposals: 20, DType: model.Float32,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func ask(t testing.TB, d *detect.Detector, names ...string) *detect.Queries {
	t.Helper()
	var all []detect.Query
	for _, name := range names {
		all = append(all, detect.Query{Name: name})
	}
	q, err := d.Queries(t.Context(), all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// scene is a picture of coloured rectangles.
func scene(seed uint64) *image.RGBA {
	random := rand.New(rand.NewPCG(seed, 1))
	picture := image.NewRGBA(image.Rect(0, 0, 120+random.IntN(80), 100+random.IntN(60)))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(random.IntN(64)) //nolint:gosec // below 256
	}
	for range 8 {
		c := color.RGBA{uint8(random.IntN(256)), uint8(random.IntN(256)), uint8(random.IntN(256)), 255} //nolint:gosec // below 256
		x, y := random.IntN(100), random.IntN(80)
		for dx := range 10 + random.IntN(50) {
			for dy := range 10 + random.IntN(40) {
				picture.SetRGBA(x+dx, y+dy, c)
			}
		}
	}
	return picture
}

// pictures writes n pictures to a folder, and returns their paths.
func pictures(t testing.TB, n int) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("%03d.png", i))
		save(t, path, scene(uint64(i))) //nolint:gosec // not negative
		paths = append(paths, path)
	}
	return paths
}

func save(t testing.TB, path string, picture image.Image) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(file, picture); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, path string) image.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// fill indexes the pictures that dir hasn't yet, and returns how many that were.
func fill(t testing.TB, d *detect.Detector, dir string, paths []string, options Options) int {
	t.Helper()
	w, err := Create(dir, d.Info(), options)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range paths {
		p, err := Look(path)
		if err != nil {
			t.Fatal(err)
		}
		if w.Has(p) {
			continue
		}
		n++
		if err := add(t, w, d, path, load(t, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// add appends the regions that d finds in a picture, and returns the error of Append.
func add(t testing.TB, w *Writer, d *detect.Detector, path string, picture image.Image) error {
	t.Helper()
	p, err := Look(path)
	if err == nil {
		p, err = p.Read()
	}
	if err != nil {
		t.Fatal(err)
	}
	regions, err := d.Regions(t.Context(), picture)
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	return w.Append(t.Context(), p, regions)
}

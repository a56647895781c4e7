package main

import (
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// TestPanoramaFindsWhatOneSceneFinds puts two scenes at the ends of a wide picture. In
// tiles, as many of the things are found as in the scenes alone, but for one; without
// tiles, fewer than half.
func TestPanoramaFindsWhatOneSceneFinds(t *testing.T) {
	measures(t)
	const width = 8 * 640
	files := []string{"scene-002.jpg", "scene-006.jpg"}
	left := func(place int) int { return place * (width - 640) }
	objects, _ := annotations(t, scenes)
	row := image.NewRGBA(image.Rect(0, 0, width, 480))
	draw.Draw(row, row.Rect, image.White, image.Point{}, draw.Src)
	args := []string{"detect", "--proposals", "60"}
	asked := map[string]bool{}
	for i, file := range files {
		m, err := pixels.DecodeFile(filepath.Join(scenes, file), pixels.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		draw.Draw(row, image.Rect(left(i), 0, left(i)+640, 480), m, image.Point{}, draw.Src)
		for _, o := range objects {
			if o.file == file && !asked[o.name] {
				asked[o.name] = true
				args = append(args, "-q", o.name)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "row.png")
	file, err := os.Create(path)
	if err == nil {
		err = png.Encode(file, row)
	}
	if err != nil || file.Close() != nil {
		t.Fatal(err)
	}
	found := func(path string, place func(file string) float32, extra ...string) (n int, stderr string) {
		code, stdout, stderr := clipdet(t, append(append(args[:len(args):len(args)], extra...), path)...)
		if code != exit.CodeDone {
			t.Fatalf("%s: exit code %d\n%s", path, code, stderr)
		}
		p := parse[picture](t, stdout)
		for _, o := range objects {
			x := place(o.file)
			if x < 0 {
				continue
			}
			at := box.Box{X0: o.box.X0 + x, Y0: o.box.Y0, X1: o.box.X1 + x, Y1: o.box.Y1}
			for _, d := range p.Detections {
				if d.Query == o.name && d.Box.IoU(at) >= 0.5 {
					n++
					break
				}
			}
		}
		return n, stderr
	}
	alone := 0
	for _, file := range files {
		n, _ := found(filepath.Join(scenes, file), func(of string) float32 {
			if of == file {
				return 0
			}
			return -1
		})
		alone += n
	}
	inRow := func(of string) float32 {
		for i, file := range files {
			if of == file {
				return float32(left(i))
			}
		}
		return -1
	}
	tiled, stderr := found(path, inRow, "--tile", "auto")
	whole, _ := found(path, inRow)
	t.Logf("found in the scenes alone %d, in the row in tiles %d, and without tiles %d", alone, tiled, whole)
	if tiled < alone-1 || whole > alone/2 || alone < 8 {
		t.Errorf("found in the scenes alone %d, in the row in tiles %d, and without tiles %d", alone, tiled, whole)
	}
	if !strings.Contains(stderr, "row.png: 5120 x 480 pixels, done in ") {
		t.Errorf("stderr doesn't tell of the tiles: %q", stderr)
	}
}

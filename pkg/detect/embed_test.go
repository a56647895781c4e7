package detect

import (
	"image"
	"reflect"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// TestCutsTakeEachRectangleOnce checks that boxes of a picture that round to the same
// pixels are cut out once for each view.
func TestCutsTakeEachRectangleOnce(t *testing.T) {
	d := &Detector{engine: torchtest.Start(t), options: Options{Crops: []Crop{{CropCLIP, 1}, {CropPad, 2}}}}
	a, b := box.Box{X0: 4, Y0: 4, X1: 8, Y1: 8}, box.Box{X0: 2, Y0: 2, X1: 4, Y1: 4}
	picture := &pixels.RGB{Width: 20, Height: 20}
	first, second := newTask(t.Context(), picture), newTask(t.Context(), picture)
	// The last box rounds to a, and to other pixels with the context of 2.
	first.boxes = []box.Box{a, b, {X0: 4.25, Y0: 4.5, X1: 8, Y1: 7.5}}
	second.boxes = []box.Box{a, a}
	got := d.pendingCrops([]*task{first, second})
	cut := func(t *task, view, x0, y0, x1, y1 int) pendingCrop {
		return pendingCrop{task: t, view: view, rect: image.Rect(x0, y0, x1, y1)}
	}
	want := []pendingCrop{
		cut(first, 0, 4, 4, 8, 8), cut(first, 0, 2, 2, 4, 4),
		cut(first, 1, 2, 2, 10, 10), cut(first, 1, 1, 1, 5, 5), cut(first, 1, 2, 3, 10, 9),
		cut(second, 0, 4, 4, 8, 8), cut(second, 1, 2, 2, 10, 10),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := [][]int64{{0, 1, 0}, {2, 3, 4}}; !reflect.DeepEqual(first.views, want) || first.pending != 5 {
		t.Errorf("the first picture has the rows %v of %d, want %v of 5", first.views, first.pending, want)
	}
	if want := [][]int64{{0, 0}, {1, 1}}; !reflect.DeepEqual(second.views, want) || second.pending != 2 {
		t.Errorf("the second picture has the rows %v of %d, want %v of 2", second.views, second.pending, want)
	}
}

package box

import (
	"image"
	"math"
	"testing"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

func TestSizeAndState(t *testing.T) {
	tests := []struct {
		name         string
		box          Box
		area         float64
		empty, valid bool
	}{
		{"one pixel", Box{0, 0, 1, 1}, 1, false, true},
		{"fractional edges", Box{0.5, 1.25, 3, 2}, 1.875, false, true},
		{"negative edges", Box{-3, -2, -1, 2}, 8, false, true},
		{"exact beyond float32", Box{0, 0, 16777215, 16777215}, 16777215 * 16777215, false, true},
		{"zero", Box{}, 0, true, true},
		{"no width", Box{3, 0, 3, 9}, 0, true, true},
		{"no height", Box{0, 9, 3, 9}, 0, true, true},
		{"reversed in x", Box{3, 0, 0, 9}, 0, true, false},
		{"reversed in both", Box{3, 9, 0, 0}, 0, true, false},
		{"NaN edge", Box{nan, 0, 1, 1}, 0, true, false},
		{"infinite edge", Box{0, 0, inf, 1}, math.Inf(1), false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := test.box
			if got := b.Area(); got != test.area {
				t.Errorf("%v.Area() = %v, want %v", b, got, test.area)
			}
			if got := b.Empty(); got != test.empty {
				t.Errorf("%v.Empty() = %v, want %v", b, got, test.empty)
			}
			if got := b.Valid(); got != test.valid {
				t.Errorf("%v.Valid() = %v, want %v", b, got, test.valid)
			}
		})
	}
}

func TestOverlap(t *testing.T) {
	tests := []struct {
		name   string
		a, b   Box
		shared Box
		iou    float64
	}{
		{"same", Box{1, 2, 5, 8}, Box{1, 2, 5, 8}, Box{1, 2, 5, 8}, 1},
		{"half", Box{0, 0, 2, 1}, Box{0, 0, 1, 1}, Box{0, 0, 1, 1}, 0.5},
		{"third", Box{0, 0, 2, 3}, Box{1, 0, 3, 3}, Box{1, 0, 2, 3}, 1.0 / 3},
		{"corner", Box{0, 0, 4, 4}, Box{3, 3, 7, 7}, Box{3, 3, 4, 4}, 1.0 / 31},
		{"inside", Box{0, 0, 10, 10}, Box{2, 2, 4, 7}, Box{2, 2, 4, 7}, 0.1},
		{"touching edges", Box{0, 0, 2, 2}, Box{2, 0, 4, 2}, Box{}, 0},
		{"touching corners", Box{0, 0, 2, 2}, Box{2, 2, 4, 4}, Box{}, 0},
		{"apart", Box{0, 0, 1, 1}, Box{5, 5, 6, 6}, Box{}, 0},
		{"apart in y only", Box{0, 0, 4, 1}, Box{0, 5, 4, 6}, Box{}, 0},
		{"empty in a box", Box{0, 0, 4, 4}, Box{1, 1, 1, 3}, Box{}, 0},
		{"empty with itself", Box{1, 1, 1, 1}, Box{1, 1, 1, 1}, Box{}, 0},
		{"reversed", Box{0, 0, 4, 4}, Box{3, 3, 1, 1}, Box{}, 0},
		{"NaN", Box{0, 0, 4, 4}, Box{0, 0, nan, 4}, Box{}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, pair := range [][2]Box{{test.a, test.b}, {test.b, test.a}} {
				if got := pair[0].Intersect(pair[1]); got != test.shared {
					t.Errorf("%v.Intersect(%v) = %v, want %v", pair[0], pair[1], got, test.shared)
				}
				if got := pair[0].IoU(pair[1]); math.Abs(got-test.iou) > 1e-15 {
					t.Errorf("%v.IoU(%v) = %v, want %v", pair[0], pair[1], got, test.iou)
				}
			}
		})
	}
}

func TestClip(t *testing.T) {
	tests := []struct {
		name          string
		box           Box
		width, height int
		want          Box
		empty         bool
	}{
		{"inside", Box{1, 2, 3.5, 4}, 10, 10, Box{1, 2, 3.5, 4}, false},
		{"over all edges", Box{-1, -2, 30, 40}, 10, 20, Box{0, 0, 10, 20}, false},
		{"left of it", Box{-9, 2, -1, 4}, 10, 20, Box{0, 2, 0, 4}, true},
		{"below it", Box{1, 25, 3, 30}, 10, 20, Box{1, 20, 3, 20}, true},
		{"infinite", Box{-inf, -inf, inf, inf}, 10, 20, Box{0, 0, 10, 20}, false},
		{"image without pixels", Box{-1, -1, 5, 5}, 0, 0, Box{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.box.Clip(test.width, test.height)
			if got != test.want || got.Empty() != test.empty {
				t.Errorf("%v.Clip(%d, %d) = %v, empty %v; want %v, empty %v",
					test.box, test.width, test.height, got, got.Empty(), test.want, test.empty)
			}
		})
	}
}

func TestOutward(t *testing.T) {
	tests := []struct {
		name string
		box  Box
		want image.Rectangle
	}{
		{"whole edges stay", Box{1, 2, 3, 4}, image.Rect(1, 2, 3, 4)},
		{"fractions grow", Box{1.9, 2.5, 3.1, 4.01}, image.Rect(1, 2, 4, 5)},
		{"below zero", Box{-1.5, -0.1, 0.1, 1}, image.Rect(-2, -1, 1, 1)},
		{"within one pixel", Box{4.2, 4.2, 4.8, 4.8}, image.Rect(4, 4, 5, 5)},
		{"no area on a whole edge", Box{4, 4, 4, 4}, image.Rect(4, 4, 4, 4)},
		{"reversed stays reversed", Box{5.5, 0, 1.5, 2}, image.Rectangle{Min: image.Pt(5, 0), Max: image.Pt(2, 2)}},
		{"infinite", Box{-inf, 0, inf, 1e30},
			image.Rect(math.MinInt32, 0, math.MaxInt32, math.MaxInt32)},
		{"NaN", Box{0, 0, 1, nan}, image.Rectangle{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.box.Outward(); got != test.want {
				t.Errorf("%v.Outward() = %v, want %v", test.box, got, test.want)
			}
		})
	}
}

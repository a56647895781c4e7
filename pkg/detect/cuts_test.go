package detect

import (
	"image"
	"reflect"
	"testing"
)

func TestCutsTakeEachRectangleOnce(t *testing.T) {
	a, b, c := image.Rect(0, 0, 5, 5), image.Rect(1, 0, 5, 5), image.Rect(2, 2, 3, 3)
	var cuts cuts
	for _, own := range []cut{{0, a}, {0, b}, {0, a}, {2, a}, {2, c}, {2, c}} {
		cuts.add(own.picture, own.rect)
	}
	if want := []int64{0, 1, 0, 2, 3, 3}; !reflect.DeepEqual(cuts.rows, want) {
		t.Errorf("rows are %v, want %v", cuts.rows, want)
	}
	for _, test := range []struct {
		low, high int
		want      map[int][]image.Rectangle
	}{
		{0, 4, map[int][]image.Rectangle{0: {a, b}, 2: {a, c}}},
		{1, 3, map[int][]image.Rectangle{0: {b}, 2: {a}}},
		{3, 4, map[int][]image.Rectangle{2: {c}}},
	} {
		got := make(map[int][]image.Rectangle)
		for picture, rects := range cuts.between(test.low, test.high) {
			got[picture] = rects
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("between %d and %d: %v, want %v", test.low, test.high, got, test.want)
		}
	}
}

package eval

import (
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

func TestOverlapByHand(t *testing.T) {
	tests := []struct {
		name       string
		a, b       BBox
		iou, crowd float64 // crowd: b is a crowd region
	}{
		{"same", BBox{1, 2, 3, 4}, BBox{1, 2, 3, 4}, 1, 1},
		{"third", BBox{0, 0, 2, 3}, BBox{1, 0, 2, 3}, 1.0 / 3, 0.5},
		{"inside", BBox{2, 2, 2, 5}, BBox{0, 0, 10, 10}, 0.1, 1},
		{"touching", BBox{0, 0, 2, 2}, BBox{2, 0, 2, 2}, 0, 0},
		{"apart", BBox{0, 0, 2, 2}, BBox{5, 5, 2, 2}, 0, 0},
		{"without area", BBox{1, 1, 0, 2}, BBox{0, 0, 4, 4}, 0, 0},
		{"both without", BBox{1, 1, 0, 0}, BBox{1, 1, 0, 0}, 0, 0},
	}
	for _, test := range tests {
		near(t, test.name+": IoU", test.a.IoU(test.b, false), test.iou)
		near(t, test.name+": in a crowd", test.a.IoU(test.b, true), test.crowd)
	}
}

func TestBoxesConverted(t *testing.T) {
	b := box.Box{X0: 1.5, Y0: -2, X1: 4, Y1: 8.25}
	if got, want := FromBox(b), (BBox{1.5, -2, 2.5, 10.25}); got != want {
		t.Errorf("FromBox gives %v, want %v", got, want)
	}
	if got := FromBox(b).Box(); got != b {
		t.Errorf("there and back is %v, want %v", got, b)
	}
}

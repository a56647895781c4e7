package suppress

import (
	"math"
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

func TestSoftNMS(t *testing.T) {
	// The boxes 0 and 1 have an IoU of 0.5, and 0 and 2 of 0. Box 3 is equal to 0, and 4
	// is empty.
	boxes := []box.Box{at(0, 0, 10, 10), at(0, 0, 10, 5), at(20, 0, 30, 10), at(0, 0, 10, 10), at(5, 5, 5, 5)}
	half, whole := math.Exp(-0.25/0.5), math.Exp(-1/0.5)
	tests := []struct {
		name   string
		order  []int
		scores []float32
		limit  int
		kept   []int
		want   []float64
	}{
		{"a neighbour falls behind", []int{0, 1, 2}, []float32{0.9, 0.8, 0.7}, 0, []int{0, 2, 1}, []float64{0.9, 0.7, 0.8 * half}},
		{"two neighbours", []int{0, 3, 1}, []float32{0.9, 0.8, 0.1}, 0, []int{0, 3, 1}, []float64{0.9, 0.8 * whole, 0.1 * half * half}},
		{"a limit", []int{0, 1, 2}, []float32{0.9, 0.8, 0.7}, 2, []int{0, 2}, []float64{0.9, 0.7}},
		{"an empty box stays", []int{0, 4}, []float32{0.9, 0.8}, 0, []int{0, 4}, []float64{0.9, 0.8}},
		{"equal scores stay in order", []int{2, 0}, []float32{0.5, 0.5}, 0, []int{2, 0}, []float64{0.5, 0.5}},
		{"none", nil, nil, 0, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			order, scores := slices.Clone(test.order), slices.Clone(test.scores)
			kept, got := NewDecay(boxes, 0.5).NMS(order, scores, test.limit)
			if !slices.Equal(kept, test.kept) {
				t.Fatalf("kept %v, want %v", kept, test.kept)
			}
			for i := range got {
				if math.Abs(float64(got[i])-test.want[i]) > 1e-6 {
					t.Errorf("the scores are %v, want %v", got, test.want)
				}
			}
			if !slices.Equal(order, test.order) || !slices.Equal(scores, test.scores) {
				t.Errorf("NMS changed its arguments to %v and %v", order, scores)
			}
		})
	}
}

func TestContained(t *testing.T) {
	// Box 1 lies in box 0, 80 % of box 2 do, and 50 % of box 3. Box 4 is equal to 0, and
	// 5 is empty.
	boxes := []box.Box{at(0, 0, 100, 100), at(10, 10, 20, 20), at(92, 0, 102, 10), at(95, 50, 105, 60), at(0, 0, 100, 100), at(5, 5, 5, 5)}
	tests := []struct {
		name  string
		order []int
		share float64
		want  []int
	}{
		{"parts go", []int{0, 1, 2, 3}, 0.75, []int{0, 3}},
		{"0.8 is not above 0.8", []int{0, 1, 2, 3}, 0.8, []int{0, 2, 3}},
		{"a stronger part stays, and so does the whole", []int{1, 0}, 0.75, []int{1, 0}},
		{"the same box is inside", []int{4, 0}, 0.9, []int{4}},
		{"an empty box is in none", []int{0, 5}, 0, []int{0, 5}},
		{"any overlap", []int{0, 3}, 0, []int{0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := NewContained(boxes, test.share).NMS(test.order, 0); !slices.Equal(got, test.want) {
				t.Errorf("kept %v, want %v", got, test.want)
			}
		})
	}
}

func TestVote(t *testing.T) {
	b := at(0, 0, 10, 10)
	boxes := []box.Box{b, at(0, 0, 10, 8), at(0, 0, 10, 4), at(50, 0, 60, 10)}
	tests := []struct {
		name   string
		scores []float32
		iou    float64
		want   box.Box
	}{
		{"two agree", []float32{0.6, 0.2, 0.9, 0.9}, 0.5, at(0, 0, 10, (0.6*10+0.2*8)/0.8)},
		{"three agree", []float32{0.5, 0.25, 0.25, 0.9}, 0.3, at(0, 0, 10, 8)},
		{"alone", []float32{0.6, 0.2, 0.9, 0.9}, 0.9, b},
		{"negative scores don't count", []float32{0.6, -0.2, 0, 0.9}, 0.1, b},
		{"no score counts", []float32{-1, -1, -1, -1}, 0.1, b},
	}
	for _, test := range tests {
		if got := Vote(b, boxes, test.scores, test.iou); math.Abs(float64(got.Y1-test.want.Y1)) > 1e-5 || got.X1 != test.want.X1 {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

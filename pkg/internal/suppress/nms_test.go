package suppress

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

// TestNMSAgainstTorchvision compares NMS with torchvision.ops.nms on the same boxes
// (testdata/nms_golden.py).
func TestNMSAgainstTorchvision(t *testing.T) {
	data, err := os.ReadFile("testdata/nms.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name  string
		Boxes []box.Box
		Order []int
		Kept  map[string][]int
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for threshold, want := range c.Kept {
			t.Run(c.Name+"/"+threshold, func(t *testing.T) {
				iou, err := strconv.ParseFloat(threshold, 64)
				if err != nil {
					t.Fatal(err)
				}
				overlaps := NewOverlaps(c.Boxes, iou)
				if got := overlaps.NMS(c.Order, 0); !slices.Equal(got, want) {
					t.Errorf("NMS kept %v, torchvision %v", got, want)
				}
				for limit := 1; limit <= len(want)+1; limit++ {
					first := want[:min(limit, len(want))]
					if got := overlaps.NMS(c.Order, limit); !slices.Equal(got, first) {
						t.Errorf("NMS with limit %d kept %v, want the first of them, %v", limit, got, first)
					}
				}
			})
		}
	}
}

func TestNMS(t *testing.T) {
	boxes := []box.Box{at(0, 0, 10, 10), at(0, 0, 10, 9), at(20, 0, 30, 10), at(0, 0, 10, 10), at(5, 5, 5, 5)}
	tests := []struct {
		name  string
		order []int
		iou   float64
		want  []int
	}{
		{"best of an overlapping pair", []int{1, 0, 2}, 0.5, []int{1, 2}},
		{"only those in order take part", []int{2, 3}, 0.5, []int{2, 3}},
		{"an equal pair survives 1", []int{0, 3, 1}, 1, []int{0, 3, 1}},
		{"IoU 0.9 is not above 0.9", []int{0, 1}, float64(float32(0.9)), []int{0, 1}},
		{"an empty box takes no part", []int{4, 0, 3}, 0, []int{4, 0}},
		{"NaN suppresses nothing", []int{0, 3}, math.NaN(), []int{0, 3}},
		{"none", nil, 0.5, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := NewOverlaps(boxes, test.iou).NMS(test.order, 0); !slices.Equal(got, test.want) {
				t.Errorf("NMS(order %v, iou %v) = %v, want %v", test.order, test.iou, got, test.want)
			}
		})
	}
}

func BenchmarkNMS(b *testing.B) {
	boxes := make([]box.Box, 1000)
	order := make([]int, len(boxes))
	for i := range boxes {
		x, y := float32(i*37%500), float32(i*91%500)
		boxes[i], order[i] = at(x, y, x+60, y+60), i
	}
	for b.Loop() {
		NewOverlaps(boxes, 0.5).NMS(order, 0)
	}
}

func at(x0, y0, x1, y1 float32) box.Box { return box.Box{X0: x0, Y0: y0, X1: x1, Y1: y1} }

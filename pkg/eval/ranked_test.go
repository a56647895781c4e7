package eval

import (
	"errors"
	"reflect"
	"testing"
)

func TestRankedAccuracyEqualsThatOfScores(t *testing.T) {
	const classes = 7
	scores := []float64{
		0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, // best to worst: 0 6 5 4 3 | 2 1
		0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, // of equal ones the earlier
		0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7,
	}
	best := [][]int{{0, 6, 5, 4, 3}, {0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2}}
	for _, test := range []struct {
		truth      []int
		top1, top5 float64
	}{
		{[]int{0, 0, 6}, 1, 1},
		{[]int{3, 4, 2}, 0, 1},
		{[]int{2, 5, 1}, 0, 0},
		{[]int{0, 6, 5}, 1. / 3, 2. / 3},
	} {
		ranked, err := RankedAccuracy(best, classes, test.truth)
		if err != nil {
			t.Fatal(err)
		}
		scored, err := BoxAccuracy(scores, classes, test.truth)
		if err != nil || !reflect.DeepEqual(ranked, scored) || ranked.Top1 != test.top1 || ranked.Top5 != test.top5 {
			t.Errorf("%v: ranked %+v, of scores %+v (%v); want top-1 %v, top-5 %v", test.truth, ranked, scored, err, test.top1, test.top5)
		}
	}
	for _, test := range []struct {
		best    [][]int
		classes int
		truth   []int
	}{
		{best, classes, []int{0, 1}}, {best, classes, []int{0, 1, 7}}, {best, 6, []int{0, 1, 2}}, {[][]int{{0, 1, 2, 3}}, classes, []int{0}},
		{[][]int{{}}, 0, []int{0}}, {nil, -1, nil},
	} {
		if _, err := RankedAccuracy(test.best, test.classes, test.truth); !errors.Is(err, ErrNumber) {
			t.Errorf("%+v: got %v, want ErrNumber", test, err)
		}
	}
}

package analysis

import (
	"errors"
	"reflect"
	"testing"

	"github.com/clipdet/clipdet/pkg/eval"
)

func TestBoxAccuracy(t *testing.T) {
	const classes = 7
	best := [][]int{{0, 6, 5, 4, 3}, {0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2}}
	for _, test := range []struct {
		truth                []int
		top1, top5, meanTop1 float64
	}{
		{[]int{0, 0, 6}, 1, 1, 1},
		{[]int{3, 4, 2}, 0, 1, 0},
		{[]int{2, 5, 1}, 0, 0, 0},
		{[]int{0, 6, 5}, 1. / 3, 2. / 3, 1. / 3},
		{[]int{0, 2, 2}, 1. / 3, 1, 1. / 2},
	} {
		a, err := BoxAccuracy(best, classes, test.truth)
		if err != nil || a.Top1 != test.top1 || a.Top5 != test.top5 || a.MeanTop1 != test.meanTop1 || a.Boxes != 3 {
			t.Errorf("%v: got %+v, %v; want top-1 %v, top-5 %v, their mean %v", test.truth, a, err, test.top1, test.top5, test.meanTop1)
		}
		if want := []int{0, 0, 6}; !reflect.DeepEqual(a.Predicted, want) {
			t.Errorf("predicted are %v, want %v", a.Predicted, want)
		}
	}
	a, err := BoxAccuracy(best, classes, []int{0, 2, 2})
	if got, want := a.Classes[2], (ClassAccuracy{2, 0, 1}); err != nil || got != want {
		t.Errorf("class 2 is %+v, %v, want %+v", got, err, want)
	}
	if got, want := a.Classes[1], (ClassAccuracy{0, -1, -1}); got != want {
		t.Errorf("class 1 is %+v, want %+v", got, want)
	}
	if none, err := BoxAccuracy(nil, 3, nil); err != nil || none.Top1 != -1 || none.MeanTop1 != -1 {
		t.Errorf("without boxes: %+v, %v", none, err)
	}
	for _, test := range []struct {
		best    [][]int
		classes int
		truth   []int
	}{
		{best, classes, []int{0, 1}}, {best, classes, []int{0, 1, 7}}, {best, 6, []int{0, 1, 2}}, {[][]int{{0, 1, 2, 3}}, classes, []int{0}},
		{[][]int{{}}, 0, []int{0}}, {nil, -1, nil},
	} {
		if _, err := BoxAccuracy(test.best, test.classes, test.truth); !errors.Is(err, eval.ErrNumber) {
			t.Errorf("%+v: got %v, want ErrNumber", test, err)
		}
	}
}

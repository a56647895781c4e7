package eval

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

func TestBoxAccuracy(t *testing.T) {
	scores := []float32{
		6, 5, 4, 3, 2, 1, // of class 0: first
		6, 5, 4, 3, 2, 1, // of class 4: fifth
		6, 5, 4, 3, 2, 1, // of class 5: sixth
		1, 1, 1, 1, 1, 1, // of class 0: equal scores go to the first
		1, 1, 1, 1, 1, 1, // of class 5: hence to the last it is sixth
	}
	a, err := BoxAccuracy(scores, 6, []int{0, 4, 5, 0, 5})
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "top 1, top 5, mean top 1", []float64{a.Top1, a.Top5, a.MeanTop1}, []float64{2.0 / 5, 3.0 / 5, 1.0 / 3})
	if want := []int{0, 0, 0, 0, 0}; !reflect.DeepEqual(a.Predicted, want) {
		t.Errorf("predicted are %v, want %v", a.Predicted, want)
	}
	if got, want := a.Classes[4], (ClassAccuracy{1, 0, 1}); got != want {
		t.Errorf("class 4 is %+v, want %+v", got, want)
	}
	if got, want := a.Classes[1], (ClassAccuracy{0, -1, -1}); got != want {
		t.Errorf("class 1 is %+v, want %+v", got, want)
	}
	if none, err := BoxAccuracy([]float64{}, 3, nil); err != nil || none.Top1 != -1 || none.MeanTop1 != -1 {
		t.Errorf("without boxes: %+v, %v", none, err)
	}
}

func TestBoxAccuracyFails(t *testing.T) {
	for name, test := range map[string]struct {
		scores  []float64
		classes int
		truth   []int
	}{
		"a row too few":  {[]float64{1, 2}, 2, []int{0, 1}},
		"a class beyond": {[]float64{1, 2}, 2, []int{2}},
		"a class below":  {[]float64{1, 2}, 2, []int{-1}},
		"a NaN":          {[]float64{1, math.NaN()}, 2, []int{0}},
		"no classes":     {nil, 0, []int{0}},
		"fewer than no":  {nil, -1, nil},
	} {
		if _, err := BoxAccuracy(test.scores, test.classes, test.truth); !errors.Is(err, ErrNumber) {
			t.Errorf("%s: error %v, want ErrNumber", name, err)
		}
	}
}

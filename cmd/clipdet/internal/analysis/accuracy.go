package analysis

import (
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Accuracy is how well boxes that are known to hold an object are classified.
type Accuracy struct {
	Boxes int `json:"boxes"`
	// Top1 and Top5 are the shares of boxes whose true class has the highest score or one
	// of the five highest. MeanTop1 is the mean of Top1 over the classes. Each is -1 if
	// there are no boxes.
	Top1     float64 `json:"top1"`
	Top5     float64 `json:"top5"`
	MeanTop1 float64 `json:"mean_top1"`
	// Classes has the accuracy of each class, [C].
	Classes []ClassAccuracy `json:"classes"`
	// Predicted is the class with the highest score for each box, [N].
	Predicted []int `json:"-"`
}

// ClassAccuracy is the accuracy of the boxes of one class.
type ClassAccuracy struct {
	Boxes int     `json:"boxes"`
	Top1  float64 `json:"top1"`
	Top5  float64 `json:"top5"`
}

// TopClasses is the number of classes that count for Top5.
const TopClasses = 5

// BoxAccuracy returns the accuracy of N boxes. best has, for each box, the classes with
// the highest scores, best first: five or more, or all classes. truth has the index of
// the true class of each box, [N]. It fails with eval.ErrNumber if a class is not below
// classes, if a list is too short, or if the number of lists is not the number of boxes.
func BoxAccuracy(best [][]int, classes int, truth []int) (*Accuracy, error) {
	if classes < 0 || len(best) != len(truth) {
		return nil, fmt.Errorf("%w: %d lists of %d classes for %d boxes", eval.ErrNumber, len(best), classes, len(truth))
	}
	a := &Accuracy{Boxes: len(truth), Classes: make([]ClassAccuracy, classes), Predicted: make([]int, len(truth))}
	var top1, top5 int
	hits1, hits5 := make([]int, classes), make([]int, classes)
	for n, right := range truth {
		if err := checkClass(n, right, classes); err != nil {
			return nil, err
		}
		if len(best[n]) < min(classes, TopClasses) {
			return nil, fmt.Errorf("%w: of box %d %d classes are known, want %d", eval.ErrNumber, n, len(best[n]), min(classes, TopClasses))
		}
		for _, c := range best[n] {
			if err := checkClass(n, c, classes); err != nil {
				return nil, err
			}
		}
		a.Predicted[n] = best[n][0]
		a.Classes[right].Boxes++
		if best[n][0] == right {
			top1++
			hits1[right]++
		}
		if slices.Contains(best[n][:min(len(best[n]), TopClasses)], right) {
			top5++
			hits5[right]++
		}
	}
	var each []float64
	for c := range a.Classes {
		a.Classes[c].Top1 = share(hits1[c], a.Classes[c].Boxes)
		a.Classes[c].Top5 = share(hits5[c], a.Classes[c].Boxes)
		each = append(each, a.Classes[c].Top1)
	}
	a.Top1, a.Top5, a.MeanTop1 = share(top1, a.Boxes), share(top5, a.Boxes), meanOf(each)
	return a, nil
}

func checkClass(n, c, classes int) error {
	if c < 0 || c >= classes {
		return fmt.Errorf("%w: box %d is of class %d, want 0 to %d", eval.ErrNumber, n, c, classes-1)
	}
	return nil
}

// share returns part/whole, or -1 if whole is 0.
func share(part, whole int) float64 {
	if whole == 0 {
		return -1
	}
	return float64(part) / float64(whole)
}

package analysis

import (
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Accuracy is how well boxes that are known to hold an object are classified.
type Accuracy struct {
	Boxes int `json:"boxes"`
	// Top1 and Top5 are the shares of boxes whose true class has the highest
	// score or one of the five highest, MeanTop1 the mean of Top1 over the
	// classes. Each is -1 if there are no boxes.
	Top1     float64 `json:"top1"`
	Top5     float64 `json:"top5"`
	MeanTop1 float64 `json:"mean_top1"`
	// Classes has each class's own, [C].
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

// topClasses is how many count for Top5.
const topClasses = 5

// BoxAccuracy takes the classes with the highest scores of each of N boxes, five or more,
// or all, best first, and the index of each box's true class, [N]. It fails with
// eval.ErrNumber for a class that isn't below the number of classes, or if the lists
// aren't as many as the boxes.
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
		if len(best[n]) < min(classes, topClasses) {
			return nil, fmt.Errorf("%w: of box %d %d classes are known, want %d", eval.ErrNumber, n, len(best[n]), min(classes, topClasses))
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
		if slices.Contains(best[n][:min(len(best[n]), topClasses)], right) {
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

// share is part/whole, -1 of nothing.
func share(part, whole int) float64 {
	if whole == 0 {
		return -1
	}
	return float64(part) / float64(whole)
}

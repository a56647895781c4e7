package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/pkg/eval"
)

// WorstFirst returns the indices of a.Images, those with the most errors first. They are
// compared by their annotations without a match, then by their wrong detections that
// score above the image's best correct one, then by all their wrong detections. Equal
// images keep their order.
func WorstFirst(a *analysis.Analysis) []int {
	type weight struct{ missed, above, wrong int }
	weights, order := make([]weight, len(a.Images)), make([]int, len(a.Images))
	for i, image := range a.Images {
		order[i] = i
		w, right := &weights[i], false
		for _, v := range image.Annotations {
			if v.Kind != analysis.Correct && v.Kind != analysis.Ignored {
				w.missed++
			}
		}
		for _, v := range image.Detections {
			switch v.Kind {
			case analysis.Correct:
				right = true
			case analysis.Ignored:
			default:
				w.wrong++
				if !right && len(image.Annotations) > 0 {
					w.above++
				}
			}
		}
	}
	slices.SortStableFunc(order, func(i, k int) int {
		a, b := weights[i], weights[k]
		return cmp.Or(cmp.Compare(b.missed, a.missed), cmp.Compare(b.above, a.above), cmp.Compare(b.wrong, a.wrong))
	})
	return order
}

// Entries makes the entries of the images of a data set, with their detections,
// annotations and verdicts but without pictures and proposals. An entry is made when it
// is requested, in any order.
type Entries struct {
	d          *eval.Dataset
	categories map[int64]string
	a          *analysis.Analysis
}

// NewEntries returns the entries of d. a must be an analysis of d; the error is
// ErrContent if it has another number of images.
func NewEntries(d *eval.Dataset, a *analysis.Analysis) (*Entries, error) {
	if len(a.Images) != len(d.Images) {
		return nil, fmt.Errorf("%w: the analysis has %d images, the data set %d", ErrContent, len(a.Images), len(d.Images))
	}
	e := &Entries{d, make(map[int64]string), a}
	for _, c := range d.Categories {
		e.categories[c.ID] = c.Name
	}
	return e, nil
}

// Entry returns the entry of the i-th image. detection returns the detection of the
// result with the given index; Entry sets its Kind, Annotation and IoU. The error is
// ErrContent if a has an annotation that d or the image doesn't have.
func (e *Entries) Entry(i int, detection func(result int) Detection) (Entry, error) {
	image, verdicts := e.d.Images[i], e.a.Images[i]
	to := Entry{File: image.FileName, Width: image.Width, Height: image.Height}
	place := map[int]int{-1: -1}
	for _, v := range verdicts.Annotations {
		if v.Annotation < 0 || v.Annotation >= len(e.d.Annotations) {
			return to, fmt.Errorf("%w: the analysis is of annotation %d, the data set has %d", ErrContent, v.Annotation, len(e.d.Annotations))
		}
		a := &e.d.Annotations[v.Annotation]
		place[v.Annotation] = len(to.Annotations)
		to.Annotations = append(to.Annotations, Annotation{e.categories[a.CategoryID], a.BBox.Box(), v.Kind, v.Cause})
	}
	for _, v := range verdicts.Detections {
		at, ok := place[v.Annotation]
		if !ok {
			return to, fmt.Errorf("%w: a verdict is about annotation %d, which is of another image", ErrContent, v.Annotation)
		}
		d := detection(v.Result)
		d.Kind, d.Annotation, d.IoU = v.Kind, at, v.IoU
		to.Detections = append(to.Detections, d)
	}
	return to, nil
}

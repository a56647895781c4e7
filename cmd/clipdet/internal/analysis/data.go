package analysis

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/eval"
)

// data is ground truth and results with the position of each.
type data struct {
	d                  *eval.Dataset
	results            []eval.Result
	images, categories map[int64]int32 // id to index in d
	truthAt, resultAt  []position      // of annotations and results
}

// position is the indices of an image and a category in the data set.
type position struct{ image, category int32 }

func newData(d *eval.Dataset, results []eval.Result) (*data, error) {
	e := &data{d: d, results: results, images: make(map[int64]int32), categories: make(map[int64]int32)}
	for i, image := range d.Images {
		e.images[image.ID] = int32(i)
	}
	for i, category := range d.Categories {
		e.categories[category.ID] = int32(i)
	}
	for i, a := range d.Annotations {
		at, err := e.position(a.ImageID, a.CategoryID)
		if err != nil {
			return nil, fmt.Errorf("annotation %d: %w", i, err)
		}
		e.truthAt = append(e.truthAt, at)
	}
	for i, r := range results {
		at, err := e.position(r.ImageID, r.CategoryID)
		if err != nil {
			return nil, fmt.Errorf("result %d: %w", i, err)
		}
		e.resultAt = append(e.resultAt, at)
	}
	return e, nil
}

func (e *data) position(imageID, categoryID int64) (position, error) {
	image, ok := e.images[imageID]
	if !ok {
		return position{}, fmt.Errorf("%w: no image has the image_id %d", eval.ErrUnknown, imageID)
	}
	category, ok := e.categories[categoryID]
	if !ok {
		return position{}, fmt.Errorf("%w: no category has the category_id %d", eval.ErrUnknown, categoryID)
	}
	return position{image, category}, nil
}

// byImage returns, for each image, the indices of its annotations in their order, and of
// its results, best first.
func (e *data) byImage() (truths, results [][]int32) {
	truths, results = make([][]int32, len(e.d.Images)), make([][]int32, len(e.d.Images))
	for i, at := range e.truthAt {
		truths[at.image] = append(truths[at.image], int32(i))
	}
	for i, at := range e.resultAt {
		results[at.image] = append(results[at.image], int32(i))
	}
	for _, here := range results {
		slices.SortStableFunc(here, func(a, b int32) int { return cmp.Compare(e.results[b].Score, e.results[a].Score) })
	}
	return truths, results
}

// federated returns two sets of positions. judged has those whose category is annotated
// in the image or known to be absent. excused has those whose category isn't exhaustively
// annotated in the image.
func (e *data) federated() (judged, excused map[position]bool) {
	judged, excused = make(map[position]bool), make(map[position]bool)
	for i, image := range e.d.Images {
		for _, id := range image.Negative {
			judged[position{int32(i), e.categories[id]}] = true
		}
		for _, id := range image.NotExhaustive {
			excused[position{int32(i), e.categories[id]}] = true
		}
	}
	for _, at := range e.truthAt {
		judged[at] = true
	}
	return judged, excused
}

// meanOf returns the mean of the values that aren't negative, or -1 if there are none.
func meanOf(values []float64) float64 {
	sum, count := 0.0, 0
	for _, v := range values {
		if v >= 0 {
			sum += v
			count++
		}
	}
	if count == 0 {
		return -1
	}
	return sum / float64(count)
}

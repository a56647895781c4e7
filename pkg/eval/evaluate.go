package eval

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Evaluation is the result of Evaluate.
type Evaluation struct {
	Summary Summary `json:"summary"`
	// Categories are in the order of their ids.
	Categories []CategoryMetrics `json:"categories"`
	// Curve is the mean of the curves of all categories with ground truth.
	Curve Curve `json:"curve"`
}

// CategoryMetrics holds the numbers of one category.
type CategoryMetrics struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Frequency string `json:"frequency,omitempty"`
	// Annotations and Detections are the numbers that counted: without crowd regions, and
	// without detections beyond the limit.
	Annotations int `json:"annotations"`
	Detections  int `json:"detections"`
	// Summary has the values of this category alone, -1 if it has no ground truth.
	Summary Summary `json:"summary"`
	Curve   Curve   `json:"curve"`
}

// Curve is a precision-recall curve: for each recall of 0.00, 0.01 to 1.00, the best
// precision at that recall or above, [101]. Both slices are nil if there is no ground
// truth.
type Curve struct {
	Precision50 []float64 `json:"precision50"` // at IoU 0.50
	Precision   []float64 `json:"precision"`   // mean over IoU 0.50, 0.55 to 0.95
}

// Evaluate measures results against ground truth as pycocotools' COCOeval does for bbox.
// If d.Federated is set, it follows LVIS's API. At most 100 detections per image and
// category count, or 300 per image if d.Federated is set. An empty list of results is no
// error.
//
// It fails with the errors of [Dataset.Check], and with ErrUnknown, ErrBBox or ErrNumber.
func Evaluate(d *Dataset, results []Result) (*Evaluation, error) {
	e, err := newEvaluator(d, results, "result")
	if err != nil {
		return nil, err
	}
	e.limits = []int{1, 10, 100}
	truths, kept := all(len(d.Annotations)), all(len(results))
	if d.Federated {
		e.limits = append(e.limits, federatedLimit)
		e.crowds = false
		truths, kept = e.federate()
	}
	return e.evaluation(e.each(e.byCategory(truths, kept))), nil
}

func all(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

// evaluator holds ground truth and results that are checked.
type evaluator struct {
	d                  *Dataset
	results            []Result
	images, categories ranking
	// Positions of each annotation and each result.
	truthAt, resultAt []position
	limits            []int // of detections per image, ascending
	crowds            bool
	excused           map[position]bool // unmatched detections here don't count
}

// position holds the ranks of an image and a category.
type position struct{ image, category int32 }

// newEvaluator checks d and results. what names a result in errors. A proposal may be of
// any category.
func newEvaluator(d *Dataset, results []Result, what string) (*evaluator, error) {
	images, categories, err := d.ranks()
	if err != nil {
		return nil, err
	}
	for i := range results {
		r := &results[i]
		err := knownImage(images, r.ImageID)
		if err == nil && what != proposal {
			err = knownCategory(categories, r.CategoryID)
		}
		if err == nil {
			err = r.check()
		}
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", what, i, err)
		}
	}
	e := &evaluator{d: d, results: results, images: images, categories: categories, crowds: true}
	for i := range d.Annotations {
		e.truthAt = append(e.truthAt, e.position(d.Annotations[i].ImageID, d.Annotations[i].CategoryID))
	}
	e.resultAt = make([]position, len(results))
	for i := range results {
		e.resultAt[i] = e.position(results[i].ImageID, results[i].CategoryID)
	}
	return e, nil
}

func (e *evaluator) position(imageID, categoryID int64) position {
	return position{e.images.rank[imageID], e.categories.rank[categoryID]}
}

// group holds indices of the annotations and results that are evaluated together.
type group struct{ truths, results []int32 }

// byCategory groups annotations and results by category.
func (e *evaluator) byCategory(truths, results []int32) []group {
	groups := make([]group, len(e.d.Categories))
	for _, i := range truths {
		g := &groups[e.truthAt[i].category]
		g.truths = append(g.truths, i)
	}
	for _, i := range results {
		g := &groups[e.resultAt[i].category]
		g.results = append(g.results, i)
	}
	return groups
}

// each evaluates groups concurrently.
func (e *evaluator) each(groups []group) []*accumulated {
	done := make([]*accumulated, len(groups))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(groups)) {
		workers.Go(func() {
			var m matcher
			for k := range next {
				done[k] = e.gather(&m, groups[k]).accumulate(e.limits)
			}
		})
	}
	for k := range groups {
		next <- k
	}
	close(next)
	workers.Wait()
	return done
}

// gather matches the detections of a group, image by image.
func (e *evaluator) gather(m *matcher, g group) *gathered {
	// This is pycocotools' order of results: images by id, then descending score, then
	// categories by id, then the order of the list. Truths are by image, category and
	// list.
	slices.SortFunc(g.results, func(a, b int32) int {
		return cmp.Or(cmp.Compare(e.resultAt[a].image, e.resultAt[b].image),
			cmp.Compare(e.results[b].Score, e.results[a].Score),
			cmp.Compare(e.results[a].CategoryID, e.results[b].CategoryID), cmp.Compare(a, b))
	})
	slices.SortFunc(g.truths, func(a, b int32) int {
		return cmp.Or(cmp.Compare(e.truthAt[a].image, e.truthAt[b].image),
			cmp.Compare(e.truthAt[a].category, e.truthAt[b].category), cmp.Compare(a, b))
	})
	most := e.limits[len(e.limits)-1]
	to := new(gathered)
	var boxes []BBox
	for len(g.truths) > 0 || len(g.results) > 0 {
		at := e.first(g)
		m.truths, boxes = m.truths[:0], boxes[:0]
		for ; len(g.truths) > 0 && e.truthAt[g.truths[0]].image == at.image; g.truths = g.truths[1:] {
			a := &e.d.Annotations[g.truths[0]]
			m.truths = append(m.truths, truth{a.BBox, a.Area, a.Crowd && e.crowds, a.ID == 0})
		}
		for ; len(g.results) > 0 && e.resultAt[g.results[0]].image == at.image; g.results = g.results[1:] {
			if r := &e.results[g.results[0]]; len(boxes) < most {
				to.scores = append(to.scores, r.Score)
				to.place = append(to.place, int32(len(boxes)))
				boxes = append(boxes, r.BBox)
			}
		}
		m.prepare(boxes)
		for area := range areaCount {
			var counted int
			to.verdicts[area], counted = m.match(boxes, area, e.excused[at], to.verdicts[area])
			to.truths[area] += counted
		}
	}
	return to
}

// first returns the position of the group's next image. Its category is meaningful only
// if the group is of one category.
func (e *evaluator) first(g group) position {
	switch {
	case len(g.truths) == 0:
		return e.resultAt[g.results[0]]
	case len(g.results) == 0:
		return e.truthAt[g.truths[0]]
	}
	truth, result := e.truthAt[g.truths[0]], e.resultAt[g.results[0]]
	if result.image < truth.image {
		return result
	}
	return truth
}

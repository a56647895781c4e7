package eval

import (
	"cmp"
	"slices"
)

// federatedLimit is LVIS's limit of detections per image.
const federatedLimit = 300

// federated returns the positions at which a category is known to be absent, and those at
// which it isn't annotated exhaustively.
func (e *evaluator) federated() (absent, excused map[position]bool) {
	absent, excused = make(map[position]bool), make(map[position]bool)
	for i := range e.d.Images {
		image := &e.d.Images[i]
		for _, id := range image.Negative {
			absent[e.position(image.ID, id)] = true
		}
		for _, id := range image.NotExhaustive {
			excused[e.position(image.ID, id)] = true
		}
	}
	return absent, excused
}

// federate applies the rules that LVIS's API (lvis 0.5.3: eval.py, results.py and
// lvis.py) adds to COCO's. It returns the annotations and results that count, in their
// order. Those without an area don't count. Of each image's best 300 results, only those
// count whose category is known to be in the image or known not to be. If a category
// isn't annotated exhaustively in an image, its unmatched detections there are excused.
func (e *evaluator) federate() (truths, kept []int32) {
	judged, excused := e.federated()
	e.excused = excused
	for i, at := range e.truthAt {
		if e.d.Annotations[i].Area > 0 {
			truths = append(truths, int32(i))
			judged[at] = true
		}
	}
	ranked := all(len(e.results))
	slices.SortFunc(ranked, func(a, b int32) int {
		return cmp.Or(cmp.Compare(e.resultAt[a].image, e.resultAt[b].image),
			cmp.Compare(e.results[b].Score, e.results[a].Score), cmp.Compare(a, b))
	})
	place := 0
	for k, i := range ranked {
		if k > 0 && e.resultAt[i].image != e.resultAt[ranked[k-1]].image {
			place = 0
		}
		if place < federatedLimit && judged[e.resultAt[i]] && e.results[i].BBox.area() > 0 {
			kept = append(kept, i)
		}
		place++
	}
	slices.Sort(kept)
	return truths, kept
}

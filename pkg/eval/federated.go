package eval

import (
	"cmp"
	"slices"
)

// federatedLimit is how many detections per image LVIS allows.
const federatedLimit = 300

// judgements gives where a category is known to be or known not to be, and where
// not every instance of it is annotated.
func (e *evaluator) judgements() (judged, excused map[position]bool) {
	judged, excused = make(map[position]bool), make(map[position]bool)
	for i := range e.d.Images {
		image := &e.d.Images[i]
		for _, id := range image.Negative {
			judged[e.position(image.ID, id)] = true
		}
		for _, id := range image.NotExhaustive {
			excused[e.position(image.ID, id)] = true
		}
	}
	for _, at := range e.truthAt {
		judged[at] = true
	}
	return judged, excused
}

// federate applies what LVIS's API (eval.py and results.py of lvis 0.5.3) adds
// to COCO's rules. It gives the results that count, in their order: the best
// 300 of each image, and of those the ones whose category is known to be in the
// image or known not to be. Where a category isn't annotated exhaustively,
// unmatched detections of it are excused.
func (e *evaluator) federate() []int32 {
	judged, excused := e.judgements()
	e.excused = excused
	ranked := all(len(e.results))
	slices.SortFunc(ranked, func(a, b int32) int {
		return cmp.Or(cmp.Compare(e.resultAt[a].image, e.resultAt[b].image),
			cmp.Compare(e.results[b].Score, e.results[a].Score), cmp.Compare(a, b))
	})
	var kept []int32
	place := 0
	for k, i := range ranked {
		if k > 0 && e.resultAt[i].image != e.resultAt[ranked[k-1]].image {
			place = 0
		}
		if place < federatedLimit && judged[e.resultAt[i]] {
			kept = append(kept, i)
		}
		place++
	}
	slices.Sort(kept)
	return kept
}

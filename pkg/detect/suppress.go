package detect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/suppress"
)

// candidate is a proposal that reaches the threshold of a query. There may be millions.
type candidate struct {
	query, proposal int32
	at              int32   // its place in the ranking
	score           float32 // as ranked, or as soft NMS has lowered it
}

// survivor is a candidate that is kept, and its box: the proposal's, or the mean that box
// voting moved it to.
type survivor struct {
	candidate
	box box.Box
}

// lists returns the candidates of each query.
func (t ranking) lists(thresholds []float32) [][]candidate {
	lists := make([][]candidate, len(thresholds))
	for q := range lists {
		lists[q] = t.candidates(q, thresholds[q])
	}
	return lists
}

// candidates returns the boxes of query q that reach its threshold, best first.
func (t ranking) candidates(q int, threshold float32) []candidate {
	n := 0
	for _, score := range t.score[q*t.m:][:t.m] {
		if threshold != 0 && score < threshold {
			break
		}
		n++
	}
	reached := make([]candidate, n)
	for i := range reached {
		at := q*t.m + i
		reached[i] = candidate{query: int32(q), proposal: int32(t.box[at]), at: int32(at), score: t.score[at]}
	}
	return reached
}

// chooseAmong suppresses the candidates of each query, given best first. It returns the
// survivors, of each query the best first, and how many each query has without
// params.Best, which bounds the survivors alone. It asks ctx before each query, and fails
// with ErrLimit if there are more survivors than params allow.
func chooseAmong(ctx context.Context, boxes []box.Box, lists [][]candidate, params matching) ([]survivor, []int, error) {
	groups := lists
	if params.contained() {
		contained := suppress.NewContained(boxes, params.Contained)
		groups = make([][]candidate, len(lists))
		for q, list := range lists {
			if ctx.Err() != nil {
				return nil, nil, context.Cause(ctx)
			}
			groups[q] = keptOf(list, contained.NMS(proposals(list), 0))
		}
	}
	limit := params.TopK
	if params.Agnostic {
		groups, limit = [][]candidate{bestOfEach(groups, len(boxes))}, 0
	}

	keep := func(list []candidate) []candidate {
		if limit > 0 {
			return list[:min(limit, len(list))]
		}
		return list
	}
	switch {
	case params.SoftNMS > 0:
		decay := suppress.NewDecay(boxes, params.SoftNMS)
		keep = func(list []candidate) []candidate { return lowered(list, decay, params.thresholds, limit) }
	case params.NMS < 1:
		overlaps := suppress.NewOverlaps(boxes, params.NMS)
		keep = func(list []candidate) []candidate { return keptOf(list, overlaps.NMS(proposals(list), limit)) }
	}

	kept := best[survivor]{most: params.Best, score: func(s survivor) float32 { return s.score }}
	counts := make([]int, len(lists))
	for _, list := range groups {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		for _, c := range keep(list) {
			if counts[c.query]++; params.TopK > 0 && counts[c.query] > params.TopK {
				continue
			}
			kept.add(survivor{c, boxes[c.proposal]})
		}
		if len(kept.all) > params.MaxDetections {
			kept.cut() // before, there may be more than params.Best
		}
		if len(kept.all) > params.MaxDetections {
			return nil, nil, fmt.Errorf("%w: %d detections or more, and %d are taken; raise the threshold, lower top-k, or raise the limit",
				ErrLimit, len(kept.all), params.MaxDetections)
		}
	}
	kept.cut()
	if params.BoxVoting > 0 {
		for q, list := range lists {
			if ctx.Err() != nil {
				return nil, nil, context.Cause(ctx)
			}
			vote(kept.all, int32(q), list, boxes, params.BoxVoting)
		}
	}
	return kept.all, counts, nil
}

func proposals(list []candidate) []int {
	order := make([]int, len(list))
	for i, c := range list {
		order[i] = int(c.proposal)
	}
	return order
}

// keptOf returns the candidates of a list whose proposals are kept, in the list's order.
func keptOf(list []candidate, kept []int) []candidate {
	survivors := make([]candidate, 0, len(kept))
	for _, c := range list {
		if len(survivors) < len(kept) && kept[len(survivors)] == int(c.proposal) {
			survivors = append(survivors, c)
		}
	}
	return survivors
}

// lowered is soft NMS. It drops candidates that fall under the threshold of their query.
func lowered(list []candidate, decay *suppress.Decay, thresholds []float32, limit int) []candidate {
	scores := make([]float32, len(list))
	of := make(map[int]candidate, len(list)) // a list has each proposal once
	for i, c := range list {
		scores[i], of[int(c.proposal)] = c.score, c
	}
	var survivors []candidate
	kept, scores := decay.NMS(proposals(list), scores, limit)
	for i, proposal := range kept {
		c := of[proposal]
		c.score = scores[i]
		if threshold := thresholds[c.query]; threshold == 0 || c.score >= threshold {
			survivors = append(survivors, c)
		}
	}
	return survivors
}

// bestOfEach returns, for each of n proposals, the candidate with the greatest score,
// best first. Of equal scores it takes the earlier query's.
func bestOfEach(lists [][]candidate, n int) []candidate {
	best := make([]*candidate, n)
	for _, list := range lists {
		for i, c := range list {
			if has := best[c.proposal]; has == nil || c.score > has.score {
				best[c.proposal] = &list[i]
			}
		}
	}
	var chosen []candidate
	for _, c := range best {
		if c != nil {
			chosen = append(chosen, *c)
		}
	}
	slices.SortStableFunc(chosen, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	return chosen
}

// vote moves the kept boxes of query q to the mean of its candidates around them.
func vote(kept []survivor, q int32, list []candidate, boxes []box.Box, iou float64) {
	voters, scores := make([]box.Box, len(list)), make([]float32, len(list))
	for i, c := range list {
		voters[i], scores[i] = boxes[c.proposal], c.score
	}
	for i, c := range kept {
		if c.query == q {
			kept[i].box = suppress.Vote(c.box, voters, scores, iou)
		}
	}
}

package detect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/torch"
)

// Match finds the queries among the regions. It fails with ErrClosed where they, the queries
// or the detector were closed, unless there is no region: then there is nothing to match.
func (r *Regions) Match(ctx context.Context, queries *Queries, params Params) (_ *Result, err error) {
	defer r.detector.ended(ctx, "Match", time.Now(), &err)
	return r.match(ctx, queries, params)
}

func (r *Regions) match(ctx context.Context, queries *Queries, params Params) (*Result, error) {
	params, err := params.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	if queries == nil || queries.detector != r.detector {
		return nil, fmt.Errorf("detect: %w: they are of another detector", ErrQuery)
	}
	result := &Result{Width: r.width, Height: r.height, Proposals: r.Proposals(), Timings: r.timings}
	if len(r.proposals) == 0 {
		return result, nil
	}
	var top ranking
	err = r.detector.do(ctx, func(s *torch.Scope) error {
		top = r.rank(s, queries, params, &result.Timings)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	since := time.Now()
	overlaps := r.overlaps(params)
	for q := range queries.names {
		found, err := r.pick(top, queries, q, overlaps, params)
		if err != nil {
			return nil, fmt.Errorf("detect: match %q: %w", queries.names[q], err)
		}
		result.Detections = append(result.Detections, found...)
	}
	slices.SortStableFunc(result.Detections, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	result.Timings.Rank += time.Since(since)
	r.detector.counts.timings.add(Timings{Rank: result.Timings.Rank, Download: result.Timings.Download})
	return result, nil
}

// ranking is what comes back from the device: for each query its candidates, best
// first. All slices are [Q,M] but runners, [K,2].
type ranking struct {
	m           int       // candidates of each query
	score       []float32 // as Params.Rank says
	box         []float32 // which of the K proposals
	cosine      []float32
	probability []float32
	phrase      []float32 // which of the query's phrasings is nearest
	runners     []float32 // the two queries nearest to a box
	perBox      int       // columns of runners: 1 where there is one query
}

// phraseElements bounds the memory of the cosines of boxes and single phrasings.
const phraseElements = 16 << 20

// rank scores every box for every query. The numbers leave the device in one copy,
// indices among them as float32, which is exact up to 2^24.
//
// Shape letters: K boxes, Q queries, G background phrasings, T phrasings of a query,
// D the width of an embedding, M candidates.
func (r *Regions) rank(s *torch.Scope, queries *Queries, params Params, timings *Timings) ranking {
	since := time.Now()
	boxes := s.Use(r.embeddings)      // [K,D]
	classes := s.Use(queries.classes) // [Q+G,D]
	k, q := int64(len(r.proposals)), int64(len(queries.names))
	logitScale := r.detector.files.Image.Manifest.LogitScale

	all := s.Matmul(boxes, s.Permute(classes, 1, 0))                        // [K,Q+G]
	cosine := s.Slice(all, 1, 0, q)                                         // [K,Q]
	probability := s.Slice(s.Softmax(s.Scale(all, logitScale), 1), 1, 0, q) // [K,Q]
	score := cosine
	switch params.Rank {
	case RankProbability:
		score = probability
	case RankFused:
		score = s.Sqrt(s.Mul(probability, torch.Upload(s, r.objectness(), k, 1)))
	}

	// NMS takes from the candidates, so that it needs all of them.
	m := k
	if params.NMS >= 1 && params.TopK > 0 {
		m = min(m, int64(params.TopK))
	}
	best, index := s.TopK(s.Permute(score, 1, 0), m, 1) // [Q,M] each
	of := func(t torch.Tensor) torch.Tensor {           // [K,Q] -> [Q,M]
		return s.Gather(s.Permute(t, 1, 0), 1, index)
	}
	_, runners := s.TopK(cosine, min(q, 2), 1) // [K,2]
	phrase := r.nearestPhrases(s, boxes, s.Use(queries.each))

	parts := []torch.Tensor{best, index, of(cosine), of(probability), of(phrase), runners}
	for i, part := range parts {
		parts[i] = s.Reshape(s.To(part, torch.Float32), -1)
	}
	joined := s.Cat(0, parts...)
	since = r.detector.lap(s, since, &timings.Rank)
	values := torch.Download[float32](s, joined)
	r.detector.lap(s, since, &timings.Download)
	if s.Err() != nil {
		return ranking{}
	}
	next := func(n int64) (part []float32) {
		part, values = values[:n], values[n:]
		return part
	}
	return ranking{
		m: int(m), perBox: int(min(q, 2)),
		score: next(q * m), box: next(q * m), cosine: next(q * m), probability: next(q * m), phrase: next(q * m),
		runners: next(k * min(q, 2)),
	}
}

// nearestPhrases gives, for each box and query, which of the query's phrasings has
// the greatest cosine: int64 [K,Q]. It works through the queries in parts, since
// [K,Q*T] may be large.
func (r *Regions) nearestPhrases(s *torch.Scope, boxes, each torch.Tensor) torch.Tensor {
	shape := s.Shape(each) // [Q,T,D]
	if s.Err() != nil {
		return torch.Tensor{}
	}
	k, q, t, d := int64(len(r.proposals)), shape[0], shape[1], shape[2]
	step := max(1, phraseElements/(k*t))
	var parts []torch.Tensor
	for low := int64(0); low < q; low += step {
		parts = append(parts, s.Within(func() torch.Tensor {
			some := s.Reshape(s.Slice(each, 0, low, low+step), -1, d)             // [q*T,D]
			cosine := s.Reshape(s.Matmul(boxes, s.Permute(some, 1, 0)), k, -1, t) // [K,q,T]
			return s.ArgMax(cosine, 2)                                            // [K,q]
		}))
	}
	return s.Cat(1, parts...)
}

func (r *Regions) objectness() []float32 {
	values := make([]float32, len(r.proposals))
	for i, p := range r.proposals {
		values[i] = p.Objectness
	}
	return values
}

// overlaps says which boxes suppress each other, nil where none do.
func (r *Regions) overlaps(params Params) *box.Overlaps {
	if params.NMS >= 1 {
		return nil
	}
	boxes := make([]box.Box, len(r.proposals))
	for i, p := range r.proposals {
		boxes[i] = p.Box
	}
	return box.NewOverlaps(boxes, params.NMS)
}

// pick reports the best boxes of query number q.
func (r *Regions) pick(top ranking, queries *Queries, q int, overlaps *box.Overlaps, params Params) ([]Detection, error) {
	at := q * top.m
	var order []int // of proposals
	for i := at; i < at+top.m; i++ {
		if math.IsNaN(float64(top.score[i])) {
			return nil, fmt.Errorf("%w: a score is not a number; try models of dtype float32", ErrOutput)
		}
		if params.Threshold != 0 && top.score[i] < params.Threshold {
			break
		}
		order = append(order, int(top.box[i]))
	}
	kept := order
	if overlaps != nil {
		kept = overlaps.NMS(order, params.TopK)
	}
	found := make([]Detection, 0, len(kept))
	for i, which := range order {
		if len(found) == len(kept) {
			break
		}
		if which != kept[len(found)] {
			continue
		}
		c := at + i
		found = append(found, Detection{
			Query: queries.names[q], Box: r.proposals[which].Box,
			Score: top.score[c], Cosine: top.cosine[c], Probability: top.probability[c],
			Objectness: r.proposals[which].Objectness,
			Phrase:     queries.phrases[q][int(top.phrase[c])],
			RunnerUp:   runnerUp(top.runners[which*top.perBox:][:top.perBox], queries.names, q),
		})
	}
	return found, nil
}

// runnerUp is the first of a box's nearest queries that isn't q.
func runnerUp(nearest []float32, names []string, q int) string {
	for _, n := range nearest {
		if int(n) != q {
			return names[int(n)]
		}
	}
	return ""
}

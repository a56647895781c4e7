package detect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
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
	thresholds, err := params.thresholds(queries.names)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	result := &Result{Width: r.width, Height: r.height, Proposals: r.Proposals(), Timings: r.timings}
	for q, name := range queries.names {
		result.Presence = append(result.Presence, Presence{Query: name, Threshold: thresholds[q]})
	}
	if len(r.proposals) == 0 {
		return result, nil
	}
	if n := len(r.proposals) * len(queries.names); n > maxCandidates {
		return nil, fmt.Errorf("detect: match: %w: %d boxes times %d queries are %d candidates, and %d are taken; ask in several runs or for fewer proposals",
			ErrLimit, len(r.proposals), len(queries.names), n, maxCandidates)
	}
	var top ranking
	err = r.detector.do(ctx, func(s *torch.Scope) error {
		top, err = r.rank(s, queries, params, &result.Timings)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	since := time.Now()
	lists := make([][]candidate, len(queries.names))
	for q := range queries.names {
		lists[q] = top.candidates(q, thresholds[q])
		result.Presence[q].Score = top.score[q*top.m]
	}
	kept, err := r.suppress(ctx, lists, thresholds, params)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	for _, c := range kept {
		result.Presence[c.query].Present = true
		result.Detections = append(result.Detections, r.report(top, queries, c))
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
func (r *Regions) rank(s *torch.Scope, queries *Queries, params Params, timings *Timings) (ranking, error) {
	since := time.Now()
	boxes := s.Use(r.embeddings)      // [K,D]
	classes := s.Use(queries.classes) // [Q+G,D]
	k, q := int64(len(r.proposals)), int64(len(queries.names))
	logitScale := r.detector.files.Image.Manifest.LogitScale

	all := s.Matmul(boxes, s.Permute(classes, 1, 0))                        // [K,Q+G]
	cosine := s.Slice(all, 1, 0, q)                                         // [K,Q]
	probability := s.Slice(s.Softmax(s.Scale(all, logitScale), 1), 1, 0, q) // [K,Q]
	if queries.negatives != nil {
		probability = s.Mul(probability, queries.kept(s, boxes, all, logitScale))
	}
	score := cosine
	switch params.Rank {
	case RankProbability:
		score = probability
	case RankFused:
		score = s.Sqrt(s.Mul(probability, torch.Upload(s, r.objectness(), k, 1)))
	case RankMean:
		score = s.Scale(s.Add(probability, torch.Upload(s, r.objectness(), k, 1)), 0.5)
	}

	// Suppression takes from the candidates, so that it needs all of them.
	m := k
	if !params.suppresses() && params.TopK > 0 {
		m = min(m, int64(params.TopK))
	}
	best, index := s.TopK(s.Permute(score, 1, 0), m, 1) // [Q,M] each
	of := func(t torch.Tensor) torch.Tensor {           // [K,Q] -> [Q,M]
		return s.Gather(s.Permute(t, 1, 0), 1, index)
	}
	_, runners := s.TopK(cosine, min(q, 2), 1) // [K,2]
	phrase := r.nearestPhrases(s, boxes, s.Use(queries.each))

	// The sum is a number only where all cosines are, the background's too. Of numbers all else is made of numbers.
	sum := s.Sum(s.Sum(all, 1), 0)
	parts := []torch.Tensor{sum, best, index, of(cosine), of(probability), of(phrase), runners}
	for i, part := range parts {
		parts[i] = s.Reshape(s.To(part, torch.Float32), -1)
	}
	joined := s.Cat(0, parts...)
	since = r.detector.lap(s, since, &timings.Rank)
	values := torch.Download[float32](s, joined)
	r.detector.lap(s, since, &timings.Download)
	if err := s.Err(); err != nil {
		return ranking{}, err
	}
	next := func(n int64) (part []float32) {
		part, values = values[:n], values[n:]
		return part
	}
	if sum := next(1)[0]; sum-sum != 0 {
		return ranking{}, fmt.Errorf("%w: a cosine is not a number, or infinite; try models of dtype float32", ErrOutput)
	}
	return ranking{
		m: int(m), perBox: int(min(q, 2)),
		score: next(q * m), box: next(q * m), cosine: next(q * m), probability: next(q * m), phrase: next(q * m),
		runners: next(k * min(q, 2)),
	}, nil
}

// kept is the share that a query's own negative phrasings leave of its probability,
// exp(c) / (exp(c) + Σ exp(n)), where c is the logarithm of the sum of exp over all
// classes, whose cosines are given [K,Q+G], and n are the negatives' logits: [K,Q]. So
// the product with the softmax over the classes is the one over both. It works through
// the queries in parts, since [K,Q,N] may be large.
func (q *Queries) kept(s *torch.Scope, boxes, cosines torch.Tensor, logitScale float64) torch.Tensor {
	negatives := s.Use(q.negatives) // [Q,N,D]
	shape := s.Shape(negatives)
	all := s.Reshape(s.LogSumExp(s.Scale(cosines, logitScale), 1), -1, 1, 1) // [K,1,1]
	if s.Err() != nil {
		return torch.Tensor{}
	}
	k, n, d := s.Shape(all)[0], shape[1], shape[2]
	step := max(1, phraseElements/(k*(n+1)))
	var parts []torch.Tensor
	for low := int64(0); low < shape[0]; low += step {
		parts = append(parts, s.Within(func() torch.Tensor {
			high := min(low+step, shape[0])
			some := s.Permute(s.Reshape(s.Slice(negatives, 0, low, high), -1, d), 1, 0)      // [D,q*N]
			logits := s.Reshape(s.Scale(s.Matmul(boxes, some), logitScale), -1, high-low, n) // [K,q,N]
			logits = s.Add(logits, torch.Upload(s, q.absent[low*n:high*n], high-low, n))     // [K,q,N]
			softmax := s.Softmax(s.Cat(2, s.Expand(all, -1, high-low, 1), logits), 2)        // [K,q,1+N]
			return s.Contiguous(s.Reshape(s.Slice(softmax, 2, 0, 1), -1, high-low))          // a copy, which lets go of the rest
		}))
	}
	return s.Cat(1, parts...)
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

// candidates are the boxes of query number q that reach its threshold, best first.
func (t ranking) candidates(q int, threshold float32) []candidate {
	n := 0
	for _, score := range t.score[q*t.m:][:t.m] {
		if threshold != 0 && score < threshold {
			break
		}
		n++
	}
	found := make([]candidate, n)
	for i := range found {
		at := q*t.m + i
		found[i] = candidate{query: int32(q), proposal: int32(t.box[at]), at: int32(at), score: t.score[at]}
	}
	return found
}

// report is the detection of a candidate that stays.
func (r *Regions) report(top ranking, queries *Queries, c survivor) Detection {
	phrase := int(top.phrase[c.at])
	if phrase >= len(queries.phrases[c.query]) {
		phrase = 0 // a repetition of the first, whose cosine may come out a little greater
	}
	return Detection{
		Query: queries.names[c.query], Box: c.box,
		Score: c.score, Cosine: top.cosine[c.at], Probability: top.probability[c.at],
		Objectness: r.proposals[c.proposal].Objectness,
		Phrase:     queries.phrases[c.query][phrase],
		RunnerUp:   runnerUp(top.runners[int(c.proposal)*top.perBox:][:top.perBox], queries.names, int(c.query)),
	}
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

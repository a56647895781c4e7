package detect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// phraseElements bounds the cosines of boxes and single phrasings that are in memory at
// once.
const phraseElements = 16 << 20

// ranking holds the scores of a picture on the host: the candidates of each query, best
// first. The slices are [Q,M], except runners, which is [K,perBox].
type ranking struct {
	m           int       // candidates of each query
	score       []float32 // by Params.Rank
	box         []float32 // the candidates' places among the K proposals
	cosine      []float32
	probability []float32
	phrase      []float32 // the nearest phrasing of the query; nil if it is not known yet
	runners     []float32 // the queries with the greatest cosines of each box
	perBox      int       // 2, or 1 if there is one query
	timings     Timings
}

// unread are the numbers of a picture's boxes while they are on the device, where they may
// be in the making.
type unread struct {
	// numbers are all in one tensor. The first is the sum of the cosines, or of the
	// embeddings, which is a number only if all of them are.
	numbers torch.Tensor
	ranking ranking // that the others become; without them
	queries int     // 0 if there is no other
	boxes   int     // K
	phrases bool    // whether the nearest phrasings are among them
}

// scored is a task whose boxes are scored. Its tensors outlive the work that made them,
// since other work may come before they are read. They are nil without boxes.
type scored struct {
	task                            *task
	embeddings, objectness, numbers *torch.Kept // [K,D], [K,1], [·]: what is unread, after the task's proposals if these are
	unread                          unread      // without its tensor
	err                             error       // of the scoring
}

// close frees the tensors that are not a Regions'.
func (made scored) close() {
	made.embeddings.Drop()
	made.objectness.Drop()
	made.numbers.Drop()
}

func closeAll(last []scored) {
	for _, made := range last {
		if !made.task.delivered {
			made.close()
		}
	}
}

// score scores a task's boxes if the task has queries. It waits for nothing. An error of
// the scoring is the outcome's, and not the scope's.
func (d *Detector) score(s *torch.Scope, t *task) scored {
	made := scored{task: t}
	if t.found.Most == 0 {
		made.err = s.Err()
		return made
	}
	embeddings := t.embeddings(s)
	if made.err = s.Err(); made.err != nil {
		return made
	}
	var wrong error
	numbers, err := s.Try(func() torch.Tensor {
		var numbers torch.Tensor
		if t.matching == nil {
			numbers = s.Reshape(s.Sum(s.Sum(embeddings, 1), 0), 1)
		} else {
			if wrong = t.matching.limit(t.found.Most); wrong != nil {
				return torch.Tensor{}
			}
			made.unread, wrong = d.rank(s, embeddings, t.found.Objectness(s), t.proposed(s), *t.matching)
			numbers = made.unread.numbers
		}
		if t.unread && wrong == nil {
			numbers = s.Cat(0, t.found.Numbers(s), numbers)
		}
		return numbers
	})
	if made.err = cmp.Or(wrong, err); made.err == nil {
		made.embeddings = s.Keep(embeddings).Of("the regions")
		made.objectness = s.Keep(s.Contiguous(t.found.Objectness(s))).Of("the regions")
		made.numbers = s.Keep(numbers)
		made.err = s.Err()
	}
	return made
}

// proposed reports which rows are proposals, [K,1] of bool, or returns the zero Tensor if
// all are.
func (t *task) proposed(s *torch.Scope) torch.Tensor {
	if !t.unread {
		return torch.Tensor{}
	}
	return s.Reshape(s.Less(s.Arange(0, int64(t.found.Most), torch.Float32), t.found.Count), -1, 1)
}

// outcome waits for the numbers of a task, and returns its outcome.
func (d *Detector) outcome(s *torch.Scope, made scored) outcome {
	t := made.task
	var o outcome
	if made.err == nil && t.found.Most > 0 {
		_, err := s.Try(func() torch.Tensor {
			o.top, made.err = d.read(s, made)
			return torch.Tensor{}
		})
		made.err = cmp.Or(made.err, err)
	}
	made.numbers.Drop()
	if made.err != nil {
		made.close()
		return outcome{err: made.err}
	}
	o.regions = &Regions{
		detector: d, width: t.picture.Width, height: t.picture.Height,
		boxes: t.boxes, objectness: t.objectness, timings: t.timings,
		embeddings: made.embeddings, objectnessOn: made.objectness,
	}
	return o
}

// read copies the numbers of a task to the host: its proposals, if they are unread, and
// its scores.
func (d *Detector) read(s *torch.Scope, made scored) (ranking, error) {
	t, values := made.task, d.download(s, s.Use(made.numbers), &made.unread)
	if err := s.Err(); err != nil {
		return ranking{}, err
	}
	if t.unread {
		n := t.found.Length()
		if err := d.readProposals(t, values[:n]); err != nil {
			return ranking{}, err
		}
		values = values[n:]
	}
	top, err := made.unread.read(values)
	if err == nil {
		top.first(len(t.boxes))
	}
	return top, err
}

// ranking copies numbers to the host that belong to the scope.
func (d *Detector) ranking(s *torch.Scope, made unread) (ranking, error) {
	values := d.download(s, made.numbers, &made)
	if err := s.Err(); err != nil {
		return ranking{}, err
	}
	return made.read(values)
}

// download copies numbers to the host, and counts the time.
func (d *Detector) download(s *torch.Scope, numbers torch.Tensor, of *unread) []float32 {
	since := time.Now()
	values := torch.Download[float32](s, numbers)
	d.addTime(s, since, &of.ranking.timings[StageDownload])
	return values
}

// read takes the numbers apart. It fails with ErrOutput if one of the embeddings or
// cosines has a NaN or an infinite value.
func (u unread) read(values []float32) (ranking, error) {
	top := u.ranking
	next := func(n int) (part []float32) {
		part, values = values[:n], values[n:]
		return part
	}
	if !number(next(1)[0]) {
		return ranking{}, fmt.Errorf("%w: an embedding or a cosine is not a number, or infinite; try models of dtype float32", ErrOutput)
	}
	if u.queries == 0 {
		return top, nil
	}
	candidates := u.queries * top.m
	top.score, top.box = next(candidates), next(candidates)
	top.cosine, top.probability = next(candidates), next(candidates)
	top.runners = next(u.boxes * top.perBox)
	if u.phrases {
		top.phrase = next(candidates)
	}
	return top, nil
}

// first leaves the candidates among the first k boxes, if the others come last.
func (t *ranking) first(k int) {
	if k >= t.m {
		return
	}
	for _, list := range []*[]float32{&t.score, &t.box, &t.cosine, &t.probability, &t.phrase} {
		kept := (*list)[:0]
		for low := 0; low < len(*list); low += t.m {
			kept = append(kept, (*list)[low:low+k]...)
		}
		*list = kept
	}
	t.m = k
}

// number reports whether v is neither NaN nor infinite.
func number(v float32) bool { return v-v == 0 }

// rank scores each of K boxes, with embeddings [K,D] and objectness [K,1], for each
// query. Places are float32 among the numbers too, which is exact up to 2^24. Where
// proposed, [K,1] of bool, is false, a box comes last among the candidates.
//
// Shape letters: K boxes, Q queries, G background phrasings, D the width of an embedding,
// M candidates.
func (d *Detector) rank(s *torch.Scope, boxes, objectness, proposed torch.Tensor, m matching) (made unread, err error) {
	since := time.Now()
	queries, shape := m.queries, s.Shape(boxes)
	all, cosine, probability, score, err := d.scores(s, boxes, objectness, s.Permute(s.Use(queries.classes), 1, 0), m)
	if err != nil {
		return unread{}, err
	}
	k, q := shape[0], int64(len(queries.names))

	if proposed != (torch.Tensor{}) {
		score = s.WhereElse(proposed, score, math.Inf(-1))
	}
	candidates := k // suppression chooses among all boxes
	if !m.suppresses() && m.TopK > 0 {
		candidates = min(k, int64(m.TopK))
	}
	best, index := s.TopK(s.Permute(score, 1, 0), candidates, 1) // [Q,M] each
	of := func(t torch.Tensor) torch.Tensor {                    // [K,Q] -> [Q,M]
		return s.Gather(s.Permute(t, 1, 0), 1, index)
	}
	_, runners := s.TopK(cosine, min(q, 2), 1) // [K,2]

	// The sum is a number only if all cosines are, the cosines of the background
	// included. All other numbers are made of the cosines.
	sum := s.Sum(s.Sum(all, 1), 0)
	parts := []torch.Tensor{sum, best, index, of(cosine), of(probability), runners}
	// On a GPU the nearest phrasings of all boxes take less time than a second copy, of
	// the survivors' alone.
	longest := int64(queries.longest())
	phrases := d.engine.Device().LikeGPU() && longest > 1 && k*q*longest <= phraseElements
	if phrases {
		each := s.Reshape(s.Use(queries.each), q*longest, -1)                            // [Q*T,D]
		near := s.ArgMax(s.Reshape(s.Matmul(boxes, s.Permute(each, 1, 0)), k, q, -1), 2) // [K,Q]
		parts = append(parts, of(near))
	}
	for i, part := range parts {
		parts[i] = s.Reshape(s.To(part, torch.Float32), -1)
	}
	made = unread{numbers: s.Cat(0, parts...), queries: int(q), boxes: int(k), phrases: phrases}
	made.ranking.m, made.ranking.perBox = int(candidates), int(min(q, 2))
	d.addTime(s, since, &made.ranking.timings[StageRank])
	return made, s.Err()
}

// scores scores K boxes, with embeddings [K,D] and objectness [K,1], for each query: all
// cosines [K,Q+G], and of the queries alone the cosine, probability and score [K,Q].
// classes [D,Q+G] are of the queries and the background.
func (d *Detector) scores(s *torch.Scope, boxes, objectness, classes torch.Tensor, m matching) (all, cosine, probability, score torch.Tensor, err error) {
	q, logitScale := int64(len(m.queries.names)), d.files.Image.Manifest.LogitScale
	all = s.Matmul(boxes, classes)
	cosine = s.Slice(all, 1, 0, q)
	probability, total := m.queries.probability(s, all, m.Scores, logitScale)
	if m.queries.negatives != nil {
		probability = s.Mul(probability, m.queries.kept(s, boxes, total, logitScale))
	}
	switch m.Rank {
	case RankCosine:
		score = cosine
	case RankProbability:
		score = probability
	case RankFused:
		score = s.Sqrt(s.Mul(probability, objectness))
	case RankMean:
		score = s.Scale(s.Add(probability, objectness), 0.5)
	default:
		return all, cosine, probability, score, fmt.Errorf("detect: %w: no rank %q", ErrOption, m.Rank)
	}
	return all, cosine, probability, score, s.Err()
}

// kept returns the share of each probability that a query's own negative phrasings leave,
// [K,Q]: exp(c) / (exp(c) + Σ exp(n)). Here n are the logits of the negatives, and c is
// the logarithm of the probability's denominator, total [K,Q]. The share times the
// softmax over the classes is the softmax over classes and negatives. kept works through
// the queries in parts, since [K,Q,N] may be large.
func (q *Queries) kept(s *torch.Scope, boxes, total torch.Tensor, logitScale float64) torch.Tensor {
	negatives, absent := s.Use(q.negatives), s.Use(q.absent) // [Q,N,D], [Q,N]
	shape := s.Shape(negatives)
	boxCount := s.Shape(total)
	if s.Err() != nil {
		return torch.Tensor{}
	}
	k, n, d := boxCount[0], shape[1], shape[2]
	step := max(1, phraseElements/(k*(n+1)))
	var parts []torch.Tensor
	for low := int64(0); low < shape[0]; low += step {
		parts = append(parts, s.Within(func() torch.Tensor {
			high := min(low+step, shape[0])
			// some [D,q*N], logits [K,q,N], softmax [K,q,1+N]. The result is a copy, so
			// that all of these are freed.
			some := s.Permute(s.Reshape(s.Slice(negatives, 0, low, high), -1, d), 1, 0)
			logits := s.Reshape(s.Scale(s.Matmul(boxes, some), logitScale), -1, high-low, n)
			logits = s.Add(logits, s.Slice(absent, 0, low, high))
			all := s.Reshape(s.Slice(total, 1, low, high), -1, high-low, 1)
			softmax := s.Softmax(s.Cat(2, all, logits), 2)
			return s.Contiguous(s.Reshape(s.Slice(softmax, 2, 0, 1), -1, high-low))
		}))
	}
	return s.Cat(1, parts...)
}

// nearestPhrases returns, for each survivor, the place of its query's phrasing with the
// greatest cosine. It works through the queries in parts, since boxes and single
// phrasings may have many cosines.
func (r *Regions) nearestPhrases(ctx context.Context, kept []survivor, top ranking, queries *Queries) ([]int, error) {
	nearest := make([]int, len(kept))
	if len(kept) == 0 || queries.longest() < 2 {
		return nearest, nil
	}
	if top.phrase != nil {
		for i, c := range kept {
			nearest[i] = int(top.phrase[c.at])
		}
		return nearest, nil
	}
	// boxes and asked are the boxes and queries of the survivors. boxAt and queryAt are
	// their places in them.
	var boxes, asked []int64
	boxAt, queryAt := make(map[int32]int), make(map[int32]int)
	place := func(places map[int32]int, list *[]int64, n int32) {
		if _, known := places[n]; !known {
			places[n] = len(*list)
			*list = append(*list, int64(n))
		}
	}
	for _, c := range kept {
		place(boxAt, &boxes, c.proposal)
		place(queryAt, &asked, c.query)
	}
	var values []int64 // [K,Q] of these boxes and queries
	err := r.detector.onEngineBetween(ctx, func(s *torch.Scope) error {
		// embeddings [K,D], each [Q,T,D]
		embeddings := s.IndexSelect(s.Use(r.embeddings), 0, torch.Upload(s, boxes, int64(len(boxes))))
		each := s.IndexSelect(s.Use(queries.each), 0, torch.Upload(s, asked, int64(len(asked))))
		shape := s.Shape(each)
		if err := s.Err(); err != nil {
			return err
		}
		k, q, t, d := int64(len(boxes)), shape[0], shape[1], shape[2]
		step := max(1, phraseElements/(k*t))
		var parts []torch.Tensor
		for low := int64(0); low < q; low += step {
			parts = append(parts, s.Within(func() torch.Tensor {
				// some [q*T,D], cosine [K,q,T], result [K,q]
				some := s.Reshape(s.Slice(each, 0, low, low+step), -1, d)
				cosine := s.Reshape(s.Matmul(embeddings, s.Permute(some, 1, 0)), k, -1, t)
				return s.ArgMax(cosine, 2)
			}))
		}
		values = torch.Download[int64](s, s.Cat(1, parts...))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, c := range kept {
		nearest[i] = int(values[boxAt[c.proposal]*len(asked)+queryAt[c.query]])
	}
	return nearest, nil
}

// report returns the detection of a survivor. phrase is the place of its nearest
// phrasing.
func (r *Regions) report(top ranking, queries *Queries, c survivor, phrase int) Detection {
	if phrase >= len(queries.phrases[c.query]) {
		phrase = 0 // a copy of the first, whose cosine may be a little greater
	}
	return Detection{
		Query: queries.names[c.query], Box: c.box,
		Score: c.score, Cosine: top.cosine[c.at], Probability: top.probability[c.at],
		Objectness: r.objectness[c.proposal],
		Phrase:     queries.phrases[c.query][phrase],
		RunnerUp:   runnerUp(top.runners[int(c.proposal)*top.perBox:][:top.perBox], queries.names, int(c.query)),
	}
}

// runnerUp returns the first of a box's nearest queries that isn't q.
func runnerUp(nearest []float32, names []string, q int) string {
	for _, n := range nearest {
		if int(n) != q {
			return names[int(n)]
		}
	}
	return ""
}

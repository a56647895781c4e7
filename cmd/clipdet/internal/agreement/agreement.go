// Package agreement measures how far two sets of models agree: in the embeddings of the
// same boxes, in the order and scores of these boxes, and in what each set detects alone.
package agreement

import (
	"math"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
)

// Scored is a box with its score for a query.
type Scored struct {
	Box   box.Box
	Score float32
}

// Picture is what two sets, A and B, say of a picture. Lists of boxes are for each query,
// in the order of the queries, best first.
type Picture struct {
	// EmbeddingsA and EmbeddingsB are unit vectors of the same boxes, in the same order.
	// Both are nil if the sets' embeddings can't be compared.
	EmbeddingsA, EmbeddingsB [][]float32
	// RanksA and RanksB have all of these boxes.
	RanksA, RanksB [][]Scored
	// FoundA and FoundB are what each set detects.
	FoundA, FoundB [][]Scored
}

// Report is how far A and B agree. Shares are in [0,1]. A number of nothing is null in
// JSON.
type Report struct {
	Pictures int `json:"pictures"`
	Boxes    int `json:"boxes"`
	TopK     int `json:"top_k"`
	// Cosine is of a box's two embeddings.
	CosineMean  *float64 `json:"cosine_mean"`
	CosineLeast *float64 `json:"cosine_least"`
	Queries     []Query  `json:"queries"`
	// All is over all queries: means, the largest difference, and eval's AP.
	All Query `json:"all"`
}

// Query is how far A and B agree on one query, over all pictures.
type Query struct {
	Name string `json:"query"`
	// Top1 is the share of pictures whose best box is the same.
	Top1 *float64 `json:"top_1"`
	// TopK is the share of A's K best boxes that are among B's K best.
	TopK *float64 `json:"top_k"`
	// ScoreMean and ScoreMost are of the differences between a box's scores.
	ScoreMean *float64 `json:"score_difference_mean"`
	ScoreMost *float64 `json:"score_difference_most"`
	// Found is the share of A's detections that B has too: a detection of the query that
	// overlaps it by an IoU of at least 0.5, each taken once.
	Found *float64 `json:"found"`
	// AP and AP50 are of B's detections, where A's are the truth.
	AP   *float64 `json:"ap"`
	AP50 *float64 `json:"ap50"`
}

// sums are the numbers behind a Query.
type sums struct {
	pictures, same              int
	top, shared                 int
	scores                      int
	difference, most            float64
	detections, foundInTheOther int
}

func (s *sums) add(o sums) {
	s.pictures, s.same = s.pictures+o.pictures, s.same+o.same
	s.top, s.shared = s.top+o.top, s.shared+o.shared
	s.scores, s.difference, s.most = s.scores+o.scores, s.difference+o.difference, max(s.most, o.most)
	s.detections, s.foundInTheOther = s.detections+o.detections, s.foundInTheOther+o.foundInTheOther
}

// Comparison gathers pictures.
type Comparison struct {
	names           []string
	k               int
	pictures, boxes int
	cosines         int
	cosine, least   float64
	queries         []sums
	truth           eval.Dataset
	results         []eval.Result
}

// New returns a Comparison of queries by their names. k is how many of a query's best
// boxes are compared; 0 is all.
func New(names []string, k int) *Comparison {
	if k == 0 {
		k = math.MaxInt
	}
	c := &Comparison{names: names, k: k, least: math.Inf(1), queries: make([]sums, len(names))}
	for i, name := range names {
		c.truth.Categories = append(c.truth.Categories, eval.Category{ID: int64(i) + 1, Name: name})
	}
	return c
}

// Add takes in a picture.
func (c *Comparison) Add(p Picture) {
	c.pictures++
	c.truth.Images = append(c.truth.Images, eval.Image{ID: int64(c.pictures)})
	for i, a := range p.EmbeddingsA {
		dot := 0.0
		for j, v := range a {
			dot += float64(v) * float64(p.EmbeddingsB[i][j])
		}
		c.cosines, c.cosine, c.least = c.cosines+1, c.cosine+dot, min(c.least, dot)
	}
	for q := range c.names {
		if q == 0 {
			c.boxes += len(p.RanksA[q])
		}
		c.queries[q].add(compare(p.RanksA[q], p.RanksB[q], c.k))
		c.queries[q].detections += len(p.FoundA[q])
		c.queries[q].foundInTheOther += foundInTheOther(p.FoundA[q], p.FoundB[q])
		for _, found := range p.FoundA[q] {
			b := eval.FromBox(found.Box)
			c.truth.Annotations = append(c.truth.Annotations, eval.Annotation{
				ID: int64(len(c.truth.Annotations)) + 1, ImageID: int64(c.pictures), CategoryID: int64(q) + 1, BBox: b, Area: b[2] * b[3],
			})
		}
		for _, found := range p.FoundB[q] {
			c.results = append(c.results, eval.Result{
				ImageID: int64(c.pictures), CategoryID: int64(q) + 1, BBox: eval.FromBox(found.Box), Score: float64(found.Score),
			})
		}
	}
}

// compare compares the same boxes in two orders.
func compare(a, b []Scored, k int) (s sums) {
	if len(a) == 0 || len(b) == 0 {
		return s
	}
	s.pictures = 1
	if a[0].Box == b[0].Box {
		s.same = 1
	}
	scores := make(map[box.Box]float32, len(b))
	top := make(map[box.Box]bool, min(k, len(b)))
	for i, other := range b {
		scores[other.Box] = other.Score
		if i < k {
			top[other.Box] = true
		}
	}
	for i, one := range a {
		if i < k {
			s.top++
			if top[one.Box] {
				s.shared++
			}
		}
		if score, known := scores[one.Box]; known {
			difference := math.Abs(float64(one.Score) - float64(score))
			s.scores, s.difference, s.most = s.scores+1, s.difference+difference, max(s.most, difference)
		}
	}
	return s
}

// foundInTheOther returns how many of a's boxes b has too, the best of a first.
func foundInTheOther(a, b []Scored) (count int) {
	taken := make([]bool, len(b))
	for _, one := range a {
		best, at := 0.5, -1
		for i, other := range b {
			if iou := one.Box.IoU(other.Box); !taken[i] && iou >= best {
				best, at = iou, i
			}
		}
		if at >= 0 {
			taken[at] = true
			count++
		}
	}
	return count
}

// Report returns how far the sets agree on what was added.
func (c *Comparison) Report() (Report, error) {
	evaluation, err := eval.Evaluate(&c.truth, c.results)
	if err != nil {
		return Report{}, err
	}
	r := Report{Pictures: c.pictures, Boxes: c.boxes}
	if c.k < math.MaxInt {
		r.TopK = c.k
	}
	if c.cosines > 0 {
		r.CosineMean, r.CosineLeast = share(c.cosine, c.cosines), &c.least
	}
	var all sums
	for i, name := range c.names {
		all.add(c.queries[i])
		r.Queries = append(r.Queries, c.queries[i].query(name, evaluation.Categories[i].Summary))
	}
	r.All = all.query("all", evaluation.Summary)
	return r, nil
}

func (s sums) query(name string, of eval.Summary) Query {
	q := Query{
		Name: name,
		Top1: share(float64(s.same), s.pictures), TopK: share(float64(s.shared), s.top),
		ScoreMean: share(s.difference, s.scores), Found: share(float64(s.foundInTheOther), s.detections),
		AP: known(of.AP), AP50: known(of.AP50),
	}
	if s.scores > 0 {
		q.ScoreMost = &s.most
	}
	return q
}

// share returns sum / of, or nil of nothing.
func share(sum float64, of int) *float64 {
	if of == 0 {
		return nil
	}
	part := sum / float64(of)
	return &part
}

// known returns a metric, or nil if eval says -1: there was no truth.
func known(metric float64) *float64 {
	if metric < 0 {
		return nil
	}
	return &metric
}

package detect

import (
	"slices"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// DefaultAlike is the likeness that Options.Alike stands for if it is 0. Above it the
// built-in models have spellings and synonyms (camera and photo camera 1.00, tv and
// television 0.99, bike and bicycle 0.97, couch and sofa 0.93), and below it different
// things (car and truck 0.77, dog and cat 0.72) and synonyms that they tell apart (car
// and automobile 0.89).
//
// Measured on testdata/scenes, whose 80 names were asked with one of 61 other words for
// one of them at a time: by the plain softmax the words cost 19 of the things that are
// found without them. Above 0.92 are 21 of the words, and these cost none; the other 40
// cost 5. From 0.91 on down, different names of the 80 are alike too, the two phases of a
// growing moon first. With other models it wasn't measured.
const DefaultAlike = 0.92

// Alike is two queries that mean nearly the same to the models, see Options.Alike.
type Alike struct {
	A, B string // names, in the order of the queries
	// Likeness is the cosine of the two classes less the mean of the background. It is
	// above Options.Alike and at most 1.
	Likeness float32
}

// maxAlike is the largest number of pairs that Queries.Alike returns. Of 10,000 queries
// with one phrase all 50 million pairs are alike.
const maxAlike = 10_000

// Alike returns the pairs of queries that mean nearly the same to the models, the most
// alike first. Of more than 10,000 pairs it returns the first 10,000. The caller owns the
// slice.
func (q *Queries) Alike() []Alike { return slices.Clone(q.alike) }

// likes says which queries are alike, in one bit for each two. A query without its like
// has no bits, so that many different queries take no memory.
type likes struct {
	rows   [][]uint64
	counts []int // of each query: how many are its like
}

func newLikes(n int) likes { return likes{rows: make([][]uint64, n), counts: make([]int, n)} }

func (l likes) add(a, b int) {
	for _, of := range [][2]int{{a, b}, {b, a}} {
		if l.counts[of[0]]++; l.rows[of[0]] == nil {
			l.rows[of[0]] = make([]uint64, (len(l.rows)+63)/64)
		}
		l.rows[of[0]][of[1]/64] |= 1 << (of[1] % 64)
	}
}

func (l likes) are(a, b int) bool { return l.counts[a] > 0 && l.rows[a][b/64]>>(b%64)&1 == 1 }

// likeness finds the pairs of queries that are alike among classes [Q+G,D]. CLIP's
// embeddings of any two texts have much in common. What the background's phrasings have
// in common says nothing of a thing, so it is subtracted first. Many queries have very
// many pairs, so likeness pauses after each query.
func (q *Queries) likeness(s *torch.Scope, least float64) likes {
	n := len(q.names)
	if n < 2 || least >= 1 {
		return likes{}
	}
	classes := s.Use(q.classes)
	shape := s.Shape(classes)
	if s.Err() != nil {
		return likes{}
	}
	means := s.Slice(classes, 0, 0, int64(n)) // [Q,D]
	if g := shape[0] - int64(n); g > 0 {
		shared := s.DivBy(s.Sum(s.Slice(classes, 0, int64(n), shape[0]), 0), float64(g)) // [D]
		means = s.Unit(s.Sub(means, shared))
	}
	across := s.Permute(means, 1, 0)
	like := newLikes(n)
	pairs := best[Alike]{most: maxAlike, score: func(a Alike) float32 { return a.Likeness }}
	step := max(1, phraseElements/n)
	for low := 0; low < n && s.Err() == nil; low += step {
		s.Within(func() torch.Tensor {
			cosines := torch.Download[float32](s, s.Matmul(s.Slice(means, 0, int64(low), int64(min(low+step, n))), across))
			for a := low; a < low+len(cosines)/n && s.Err() == nil; a++ {
				row := cosines[(a-low)*n:][:n]
				for b := a + 1; b < n; b++ {
					if float64(row[b]) > least {
						like.add(a, b)
						// Rounding may make the cosine of equal classes more than 1.
						pairs.add(Alike{q.names[a], q.names[b], min(row[b], 1)})
					}
				}
				s.Pause()
			}
			return torch.Tensor{}
		})
	}
	pairs.cut()
	pairs.sort()
	q.alike = pairs.all
	return like
}

// keepShares keeps what a softmax of like queries needs. It does nothing if no queries
// are alike.
//
// shares [Q+G,L+1] has a column for each of the L queries that have their like, and a
// last one for all others. A column says how much of each class's exp(logit) is in the
// denominator of such a query's probability: all of its own, none of its like's, and of
// another class 1/(1+n), where n is the number of the queries that are its like. So a
// synonym takes nothing from its like, and two names of one thing take no more from other
// queries than one name does. column [Q] is each query's column.
func (q *Queries) keepShares(s *torch.Scope, like likes) {
	var with []int // the queries that have their like
	columns := make([]int64, len(q.names))
	for i, n := range like.counts {
		columns[i] = int64(len(with))
		if n > 0 {
			with = append(with, i)
		}
	}
	shape := s.Shape(s.Use(q.classes))
	if len(with) == 0 || s.Err() != nil {
		return
	}
	for i, n := range like.counts {
		if n == 0 {
			columns[i] = int64(len(with))
		}
	}
	width := len(with) + 1
	shares := s.Full(1, torch.Float32, shape[0], int64(width)) // which is right for the background
	step := max(1, phraseElements/width)
	for low := 0; low < len(q.names) && s.Err() == nil; low += step {
		s.Within(func() torch.Tensor {
			high := min(low+step, len(q.names))
			rows := make([]float32, 0, (high-low)*width)
			for class := low; class < high && s.Err() == nil; class++ {
				part := float32(1) / float32(1+like.counts[class])
				for _, i := range with {
					switch {
					case i == class:
						rows = append(rows, 1)
					case like.are(class, i):
						rows = append(rows, 0)
					default:
						rows = append(rows, part)
					}
				}
				rows = append(rows, part)
				s.Pause()
			}
			s.CopyInto(s.Slice(shares, 0, int64(low), int64(high)), torch.Upload(s, rows, int64(high-low), int64(width)))
			return torch.Tensor{}
		})
	}
	q.shares = s.Keep(shares)
	q.column = s.Keep(torch.Upload(s, columns, int64(len(columns))))
}

// probability returns the probability of each query in each box, [K,Q], from the cosines
// of the boxes with all classes, [K,Q+G], and the logarithm of its denominator, [K,Q],
// which is known only if the queries have negatives.
func (q *Queries) probability(s *torch.Scope, cosines torch.Tensor, scores Scores, logitScale float64) (probability, total torch.Tensor) {
	n := int64(len(q.names))
	logits := s.Scale(cosines, logitScale)
	if scores == ScoresEach {
		shape := s.Shape(cosines)
		if s.Err() != nil {
			return
		}
		own := s.Reshape(s.Slice(logits, 1, 0, n), -1, n, 1)
		none := s.Reshape(s.LogSumExp(s.Slice(logits, 1, n, shape[1]), 1), -1, 1, 1)
		both := s.Cat(2, own, s.Expand(none, -1, n, 1)) // [K,Q,2]
		if q.negatives != nil {
			total = s.LogSumExp(both, 2)
		}
		return s.Reshape(s.Slice(s.Softmax(both, 2), 2, 0, 1), -1, n), total
	}
	softmax := s.Softmax(logits, 1)
	probability = s.Slice(softmax, 1, 0, n)
	if q.negatives != nil {
		total = s.Expand(s.Reshape(s.LogSumExp(logits, 1), -1, 1), -1, n)
	}
	if q.shares == nil {
		return probability, total
	}
	// denominator [K,Q] is at least the probability, and 0 only where both are too small
	// for a float32.
	denominator := s.IndexSelect(s.Matmul(softmax, s.Use(q.shares)), 1, s.Use(q.column))
	denominator = s.ClampMin(denominator, smallest)
	if q.negatives != nil {
		total = s.Add(total, s.Log(denominator))
	}
	return s.Div(probability, denominator), total
}

// smallest is the smallest normal float32.
const smallest = 0x1p-126

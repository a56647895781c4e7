package detect

import (
	"math"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// plan says which rows of all embeddings [P+E,D] the queries are made of. The rows are
// the phrasebook's and then the examples'.
type plan struct {
	queries, longest int       // Q and T
	rows             []int64   // [Q,T]; a query with fewer than T repeats its first
	weights          []float32 // [Q,T] in the mean, 0 for repeated rows
	texts            []float32 // [Q]: the share of the phrasings in the mean
	negatives        []int64   // [Q,N], row 0 in place of a missing one
	absent           []float32 // [Q,N]: 0, or -Inf in place of a missing one
}

// plan plans queries. phrases are the phrasings of each, and then the labels of its
// examples.
func (b *phrasebook) plan(queries []Query, phrases [][]string) plan {
	p := plan{queries: len(queries)}
	most := 0 // N
	for i, query := range queries {
		p.longest, most = max(p.longest, len(phrases[i])), max(most, len(query.Negatives))
	}
	example := int64(len(b.tokens))
	for i, query := range queries {
		found := b.rows(phrases[i][:len(phrases[i])-len(query.Examples)])
		weights, total, texts := query.weights(len(found))
		for range query.Examples {
			found = append(found, example)
			example++
		}
		for t := range p.longest {
			if t < len(found) {
				p.rows, p.weights = append(p.rows, found[t]), append(p.weights, float32(weights[t]/total))
			} else {
				p.rows, p.weights = append(p.rows, found[0]), append(p.weights, 0)
			}
		}
		p.texts = append(p.texts, float32(texts/total))
		p.negatives = append(p.negatives, b.rows(query.Negatives)...)
		p.absent = append(p.absent, make([]float32, len(query.Negatives))...)
		for range most - len(query.Negatives) {
			p.negatives, p.absent = append(p.negatives, 0), append(p.absent, float32(math.Inf(-1)))
		}
	}
	return p
}

// classes makes the tensors of Queries from all embeddings [P+E,D]. empty are the rows of
// the templates filled with nothing, or none if nothing is subtracted.
func (p plan) classes(s *torch.Scope, all torch.Tensor, background, empty []int64) (each, classes, negatives, absent *torch.Kept) {
	q, t, n := int64(p.queries), int64(p.longest), int64(len(p.negatives)/p.queries)
	pick := func(rows []int64) torch.Tensor { return s.IndexSelect(all, 0, torch.Upload(s, rows, int64(len(rows)))) }
	shared := torch.Tensor{} // [D]
	if len(empty) > 0 {
		shared = s.DivBy(s.Sum(pick(empty), 0), float64(len(empty)))
	}
	alone := func(rows []int64) torch.Tensor { // classes of their own
		if len(empty) == 0 {
			return pick(rows)
		}
		return s.Unit(s.Sub(pick(rows), shared))
	}

	own := s.Reshape(pick(p.rows), q, t, -1)
	mean := s.Within(func() torch.Tensor { // the product is as large as own
		return s.Sum(s.Mul(own, torch.Upload(s, p.weights, q, t, 1)), 1) // [Q,D]
	})
	if len(empty) > 0 {
		mean = s.Sub(mean, s.Mul(torch.Upload(s, p.texts, q, 1), shared))
	}
	means := s.Unit(mean)
	if len(background) > 0 {
		means = s.Cat(0, means, alone(background))
	}
	if n > 0 {
		negatives = s.Keep(s.Reshape(alone(p.negatives), q, n, -1))
		absent = s.Keep(torch.Upload(s, p.absent, q, n))
	}
	return s.Keep(own).Of("the queries"), s.Keep(means).Of("the queries"), negatives, absent
}

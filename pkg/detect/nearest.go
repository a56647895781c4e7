package detect

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// storedFloats is the number of values that a thread of a CPU converts to float32 at once:
// 512 KB, which stay in its cache of the second level until they are multiplied. A quarter
// and four times as much took longer.
const storedFloats = 128 << 10

// Nearest returns, for each query, the places of the params.TopK regions with the
// greatest scores by params.Rank, best first. A place is the number of a region in blocks,
// from 0, whether it takes part or not. The result is exact: every region that takes part
// is compared with every query. Of regions with equal scores any may come first, or be left
// out.
//
// Of params it reads TopK, which must be above 0, Rank and Scores. Thresholds and suppression
// are left to the caller. blocks run on the engine's thread and must not call the Detector. A
// block may change when the next one is asked for. Pictures of other calls wait meanwhile.
// Beside the blocks it takes memory for 16 million scores at most, 64 MB. It fails with
// ErrClosed if the queries are closed before the last block is done, and with ErrOption if
// the slices of a block have lengths that don't fit.
func (d *Detector) Nearest(ctx context.Context, blocks iter.Seq2[Stored, error], queries *Queries, params Params) (_ [][]int64, err error) {
	defer d.callEnds(ctx, "Nearest", time.Now(), &err)
	m, err := d.matching(queries, params)
	if err != nil {
		return nil, err
	}
	if m.TopK == 0 {
		return nil, fmt.Errorf("detect: %w: TopK is 0; Nearest needs the number of regions", ErrOption)
	}
	n := nearest{
		detector: d, m: m, width: int64(d.files.Image.Manifest.EmbeddingWidth),
		best: make([][]rated, len(queries.names)),
	}
	err = d.onEngine(ctx, func(s *torch.Scope) error {
		if !s.Device().LikeGPU() {
			n.rows = max(1, storedFloats/n.width) * int64(d.options.Threads)
			n.buffer = torch.Host(s, make([]float32, n.rows*n.width), n.rows, n.width)
		}
		for stored, err := range blocks {
			if err == nil {
				s.Within(func() torch.Tensor { err = n.add(s, stored); return torch.Tensor{} })
				s.Unborrow() // or all blocks would stay in memory
			}
			if err != nil {
				return err
			}
			s.Pause()
		}
		return s.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("detect: nearest: %w", err)
	}
	places := make([][]int64, len(n.best))
	for q, best := range n.best {
		for _, p := range best {
			places[q] = append(places[q], p.at)
		}
	}
	return places, nil
}

// nearest are the best places so far.
type nearest struct {
	detector *Detector
	m        matching
	width    int64        // D
	classes  torch.Tensor // [Q+G,D], times the logit scale if plain; or [Q,D] if the rank is the cosine
	rows     int64        // of the buffer
	buffer   torch.Tensor // float32 [rows,D]; none in the way of a GPU
	best     [][]rated    // of each query, best first
	seen     int64        // regions of the blocks before
}

// plain reports whether a probability is the softmax of all classes and nothing more, which
// takes fewer operations.
func (n *nearest) plain() bool {
	return n.m.Scores == ScoresTogether && n.m.queries.negatives == nil && n.m.queries.shares == nil
}

// rated is the place of a region and its score for a query.
type rated struct {
	at    int64
	group int64 // at, if there are no groups
	score float32
}

// use takes the classes for a block. The queries may be closed between two blocks, and the
// pause there then frees their tensors.
func (n *nearest) use(s *torch.Scope) {
	n.classes = s.Use(n.m.queries.classes)
	if n.m.Rank == RankCosine { // the background doesn't count
		n.classes = s.Slice(n.classes, 0, 0, int64(len(n.m.queries.names)))
	} else if n.plain() {
		n.classes = s.Scale(n.classes, n.detector.files.Image.Manifest.LogitScale)
	}
}

// add compares a block with the queries, in parts that bound the memory.
func (n *nearest) add(s *torch.Scope, stored Stored) error {
	width := n.width
	rows, err := stored.regions(width, n.m.Rank)
	if err != nil {
		return err
	}
	n.use(s)
	ranked := n.m.Rank.byObjectness()
	classes := int64(len(n.m.queries.names) + len(n.detector.options.Background))
	step := max(1, phraseElements/max(classes, width)/run) * run
	for low := int64(0); low < rows && s.Err() == nil; low += step {
		high := min(low+step, rows)
		part := Stored{Embeddings: stored.Embeddings[low*width : high*width]}
		if ranked {
			part.Objectness = stored.Objectness[low:high]
		}
		if stored.Groups != nil {
			part.Groups = stored.Groups[low:high]
		}
		var kept []int64 // nil: all
		if stored.Keep != nil {
			if kept = trueAt(stored.Keep[low:high]); len(kept) == 0 {
				continue
			} else if int64(len(kept)) == high-low {
				kept = nil
			}
		}
		n.addPart(s, part, kept, n.seen+low)
	}
	n.seen += rows
	return s.Err()
}

// addPart compares the rows of a part that are kept, and merges the best of them. first is
// the place of its first row.
func (n *nearest) addPart(s *torch.Scope, part Stored, kept []int64, first int64) {
	s.Within(func() torch.Tensor {
		score := s.Within(func() torch.Tensor { return n.score(s, part, kept) }) // [Q,N]
		shape := s.Shape(score)
		if shape == nil {
			return torch.Tensor{}
		}
		at := func(row int64, score float32) rated {
			if kept != nil {
				row = kept[row]
			}
			r := rated{at: first + row, group: first + row, score: score}
			if part.Groups != nil {
				r.group = part.Groups[row]
			}
			return r
		}
		if n.full() {
			n.addBetter(s, score, shape[1], at)
			return torch.Tensor{}
		}
		// The best of a query may be of few groups: then more of them are looked at.
		for count := min(int64(n.m.TopK), shape[1]); ; count = min(8*count, shape[1]) {
			best, index := s.TopK(score, count, 1)
			values, indices := torch.Download[float32](s, best), torch.Download[int64](s, index)
			if s.Err() != nil {
				return torch.Tensor{}
			}
			for i := 0; i < len(values); i += int(count) { // NaN comes first
				checkScore(s, at(indices[i], values[i]))
			}
			if s.Err() != nil || n.merge(values, indices, at) || count == shape[1] {
				return torch.Tensor{}
			}
		}
	})
}

// checkScore fails with ErrOutput if a score is NaN or infinite.
func checkScore(s *torch.Scope, r rated) {
	if !number(r.score) {
		s.Fail(fmt.Errorf("%w: the score of region %d is not a number, so its embedding is damaged", ErrOutput, r.at))
	}
}

// full reports whether every query has as many places as are asked for.
func (n *nearest) full() bool {
	return !slices.ContainsFunc(n.best, func(best []rated) bool { return len(best) < n.m.TopK })
}

// merge adds the best rows of a part, [Q,M], to the best so far. It reports false if there
// may be better ones among the part's other rows.
func (n *nearest) merge(values []float32, indices []int64, at func(row int64, score float32) rated) (all bool) {
	each := len(values) / len(n.best)
	all = true
	for q := range n.best {
		found := make([]rated, each)
		for i := range found {
			found[i] = at(indices[q*each+i], values[q*each+i])
		}
		least := found[each-1].score
		n.best[q] = mergeRated(n.best[q], found, n.m.TopK)
		all = all && len(n.best[q]) == n.m.TopK && n.best[q][n.m.TopK-1].score >= least
	}
	return all
}

// run is the number of consecutive rows of which addBetter looks at the greatest score
// first: a query's best 100 of a million are in few runs.
const run = 128

// addBetter adds the rows of a part, with scores [Q,rows], that are better than the last of
// a full list. Only runs with such a row are copied to the host.
func (n *nearest) addBetter(s *torch.Scope, score torch.Tensor, rows int64, at func(row int64, score float32) rated) {
	found := make([][]rated, len(n.best))
	look := func(q int, first int64, scores []float32) {
		bar := n.best[q][n.m.TopK-1].score
		for i, v := range scores {
			if !(v <= bar) { // or NaN
				r := at(first+int64(i), v)
				checkScore(s, r)
				found[q] = append(found[q], r)
			}
		}
	}
	whole := rows / run
	if whole > 0 {
		runs := s.Reshape(s.Slice(score, 1, 0, whole*run), -1, run) // [Q*whole,run]
		var better []int64
		for i, most := range torch.Download[float32](s, s.Max(runs, 1)) {
			if !(most <= n.best[i/int(whole)][n.m.TopK-1].score) {
				better = append(better, int64(i))
			}
		}
		if len(better) > 0 {
			values := torch.Download[float32](s, s.IndexSelect(runs, 0, torch.Upload(s, better, int64(len(better)))))
			for i := 0; i < len(better) && s.Err() == nil; i++ {
				look(int(better[i]/whole), better[i]%whole*run, values[i*run:(i+1)*run])
			}
		}
	}
	if rest := rows - whole*run; rest > 0 {
		values := torch.Download[float32](s, s.Slice(score, 1, whole*run, rows))
		for q := 0; q < len(n.best) && s.Err() == nil; q++ {
			look(q, whole*run, values[int64(q)*rest:int64(q+1)*rest])
		}
	}
	for q, list := range found {
		slices.SortStableFunc(list, func(a, b rated) int { return cmp.Compare(b.score, a.score) })
		n.best[q] = mergeRated(n.best[q], list, n.m.TopK)
	}
}

// mergeRated returns the best of a and b, at most most, and one of each group. Both are
// best first.
func mergeRated(a, b []rated, most int) []rated {
	if len(b) == 0 || len(a) == most && b[0].score <= a[most-1].score {
		return a
	}
	merged := make([]rated, 0, min(most, len(a)+len(b)))
	seen := make(map[int64]bool)
	for len(merged) < most && len(a)+len(b) > 0 {
		var next rated
		if len(b) == 0 || len(a) > 0 && a[0].score >= b[0].score {
			next, a = a[0], a[1:]
		} else {
			next, b = b[0], b[1:]
		}
		if !seen[next.group] {
			seen[next.group] = true
			merged = append(merged, next)
		}
	}
	return merged
}

// score returns the numbers [Q,N] of scoreRows of the rows that are kept.
func (n *nearest) score(s *torch.Scope, part Stored, kept []int64) torch.Tensor {
	rows := int64(len(part.Embeddings)) / n.width
	half := torch.Borrow(s, part.Embeddings, rows, n.width)
	var objectness torch.Tensor // [N,1]
	if part.Objectness != nil {
		objectness = torch.Upload(s, part.Objectness, int64(len(part.Objectness)), 1)
	}
	if kept != nil {
		rows = int64(len(kept))
		half = s.IndexSelect(half, 0, torch.Host(s, kept, rows))
		if part.Objectness != nil {
			objectness = s.IndexSelect(objectness, 0, torch.Upload(s, kept, rows))
		}
	}
	if n.buffer == (torch.Tensor{}) {
		return n.scoreRows(s, s.To(s.ToDevice(half), torch.Float32), objectness)
	}
	var scores []torch.Tensor
	for low := int64(0); low < rows && s.Err() == nil; low += n.rows {
		scores = append(scores, s.Within(func() torch.Tensor {
			high := min(low+n.rows, rows)
			block := s.Slice(n.buffer, 0, 0, high-low)
			s.CopyInto(block, s.Slice(half, 0, low, high))
			some := objectness
			if part.Objectness != nil {
				some = s.Slice(objectness, 0, low, high)
			}
			return n.scoreRows(s, block, some)
		}))
	}
	return s.Cat(1, scores...)
}

// scoreRows returns numbers [Q,N] of float32 embeddings [N,D], with objectness [N,1], that
// order the rows as their scores do.
func (n *nearest) scoreRows(s *torch.Scope, embeddings, objectness torch.Tensor) torch.Tensor {
	if n.m.Rank != RankCosine && !n.plain() {
		_, _, _, score, err := n.detector.scores(s, embeddings, objectness, s.Permute(n.classes, 1, 0), n.m)
		if err != nil {
			s.Fail(err)
		}
		return s.Contiguous(s.Permute(score, 1, 0))
	}
	score := s.Matmul(n.classes, s.Permute(embeddings, 1, 0))
	if n.m.Rank == RankCosine {
		return score
	}
	score = s.Slice(s.Softmax(score, 0), 0, 0, int64(len(n.best)))
	switch n.m.Rank {
	case RankFused: // without the square root
		return s.Mul(score, s.Reshape(objectness, 1, -1))
	case RankMean: // without the factor
		return s.Add(score, s.Reshape(objectness, 1, -1))
	}
	return score
}

// trueAt returns the places of what is true.
func trueAt(marks []bool) []int64 {
	var at []int64
	for i, mark := range marks {
		if mark {
			at = append(at, int64(i))
		}
	}
	return at
}

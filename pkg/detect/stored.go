package detect

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Stored are regions whose embeddings lie in memory in half precision, as an index keeps
// them. They may be of many pictures.
type Stored struct {
	// Embeddings [N,D] have the bits of float16 (IEEE 754's binary16), row by row. They
	// may be a mapped file.
	Embeddings []uint16
	// Objectness [N] is of the proposals. Only RankFused and RankMean rank by it.
	Objectness []float32
	// Keep [N] says which regions take part; nil is all.
	Keep []bool
	// Groups [N] are numbers of groups, such as pictures. Nearest returns only the best
	// region of each group for each query. nil is a group for each region.
	Groups []int64
}

// StoredMatch is a stored region that fits a query. Its Detection has no Box.
type StoredMatch struct {
	Row int // of the Stored
	Detection
}

// Stored returns the embeddings and the objectness of the proposals, in the order of
// Proposals. The caller owns the slices. It fails with ErrClosed after Close, unless
// there is no proposal.
func (r *Regions) Stored(ctx context.Context) (Stored, error) {
	stored := Stored{Objectness: slices.Clone(r.objectness)}
	if len(r.boxes) == 0 {
		return stored, nil
	}
	err := r.detector.onEngineBetween(ctx, func(s *torch.Scope) error {
		stored.Embeddings = torch.Download[uint16](s, s.To(s.Slice(s.Use(r.embeddings), 0, 0, int64(len(r.boxes))), torch.Float16))
		return nil
	})
	if err != nil {
		return Stored{}, fmt.Errorf("detect: stored: %w", err)
	}
	return stored, nil
}

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
// Of params it reads TopK, which must be above 0, and Rank. Thresholds and suppression are
// left to the caller. blocks run on the engine's thread and must not call the Detector. A
// block may change when the next one is asked for. Pictures of other calls wait meanwhile.
// Beside the blocks it takes memory for 16 million scores at most, 64 MB.
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
		n.classes = s.Contiguous(s.Permute(s.Use(queries.classes), 1, 0))
		if n.m.Rank == RankCosine { // the background doesn't count
			n.classes = s.Contiguous(s.Slice(n.classes, 1, 0, int64(len(queries.names))))
		}
		if !s.Device().LikeGPU() {
			n.rows = max(1, storedFloats/n.width) * int64(d.options.Threads)
			n.buffer = torch.Host(s, make([]float32, n.rows*n.width), n.rows, n.width)
		}
		for stored, err := range blocks {
			if err == nil {
				err = n.add(s, stored)
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
	classes  torch.Tensor // [D,Q+G], or [D,Q] if the rank is the cosine
	rows     int64        // of the buffer
	buffer   torch.Tensor // float32 [rows,D]; none in the way of a GPU
	best     [][]rated    // of each query, best first
	seen     int64        // regions of the blocks before
}

// rated is the place of a region and its score for a query.
type rated struct {
	at    int64
	group int64 // at, if there are no groups
	score float32
}

// add compares a block with the queries, in parts that bound the memory.
func (n *nearest) add(s *torch.Scope, stored Stored) error {
	width := n.width
	rows := int64(len(stored.Embeddings)) / width
	ranked := n.m.Rank == RankFused || n.m.Rank == RankMean // by objectness too
	if rows*width != int64(len(stored.Embeddings)) || ranked && int64(len(stored.Objectness)) != rows ||
		stored.Keep != nil && int64(len(stored.Keep)) != rows || stored.Groups != nil && int64(len(stored.Groups)) != rows {
		return fmt.Errorf("%w: %d values of width %d, with %d objectnesses, %d marks and %d groups", ErrOption,
			len(stored.Embeddings), width, len(stored.Objectness), len(stored.Keep), len(stored.Groups))
	}
	classes := int64(len(n.m.queries.names) + len(n.detector.options.Background))
	step := max(1, phraseElements/max(classes, width))
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
		// The best of a query may be of few groups: then more of them are looked at.
		for count := min(int64(n.m.TopK), shape[1]); ; count = min(8*count, shape[1]) {
			best, index := s.TopK(score, count, 1)
			values, indices := torch.Download[float32](s, best), torch.Download[int64](s, index)
			if s.Err() != nil || n.merge(part, kept, first, values, indices) || count == shape[1] {
				return torch.Tensor{}
			}
		}
	})
}

// merge adds the best rows of a part, [Q,M], to the best so far. It reports false if there
// may be better ones among the part's other rows.
func (n *nearest) merge(part Stored, kept []int64, first int64, values []float32, indices []int64) (all bool) {
	each := len(values) / len(n.best)
	all = true
	for q := range n.best {
		found := make([]rated, each)
		for i := range found {
			at := indices[q*each+i]
			if kept != nil {
				at = kept[at]
			}
			found[i] = rated{at: first + at, group: first + at, score: values[q*each+i]}
			if part.Groups != nil {
				found[i].group = part.Groups[at]
			}
		}
		least := found[each-1].score
		n.best[q] = mergeRated(n.best[q], found, n.m.TopK, part.Groups != nil)
		all = all && len(n.best[q]) == n.m.TopK && n.best[q][n.m.TopK-1].score >= least
	}
	return all || part.Groups == nil
}

// mergeRated returns the best of a and b, at most most, and one of each group if there
// are groups. Both are best first.
func mergeRated(a, b []rated, most int, grouped bool) []rated {
	if len(a) == most && b[0].score <= a[most-1].score {
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
		if grouped && seen[next.group] {
			continue
		}
		if grouped {
			seen[next.group] = true
		}
		merged = append(merged, next)
	}
	return merged
}

// score returns the scores [Q,N] of the rows that are kept.
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

// scoreRows returns the scores [Q,N] of float32 embeddings [N,D].
func (n *nearest) scoreRows(s *torch.Scope, embeddings, objectness torch.Tensor) torch.Tensor {
	if n.m.Rank == RankCosine {
		return s.Contiguous(s.Permute(s.Matmul(embeddings, n.classes), 1, 0))
	}
	_, _, _, score, err := n.detector.scores(s, embeddings, objectness, n.classes, n.m)
	if err != nil {
		s.Fail(err)
	}
	return s.Contiguous(s.Permute(score, 1, 0))
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

// MatchStored returns, for each query, what Match without suppression reports of some
// stored regions: of rows[q] for query q, which are rows of stored, and of those that reach
// the query's threshold, best first. Of params it reads Rank, Threshold and Thresholds. It
// ignores Keep and Groups. It fails with ErrLimit if stored has more regions for the
// queries than a picture may have.
func (d *Detector) MatchStored(ctx context.Context, stored Stored, rows [][]int, queries *Queries, params Params) (_ [][]StoredMatch, err error) {
	defer d.callEnds(ctx, "MatchStored", time.Now(), &err)
	m, err := d.matching(queries, Params{Rank: params.Rank, Threshold: params.Threshold, Thresholds: params.Thresholds, NMS: 1})
	if err != nil {
		return nil, err
	}
	matches := make([][]StoredMatch, len(queries.names))
	count := len(stored.Objectness)
	if count == 0 {
		return matches, nil
	}
	if len(rows) != len(queries.names) {
		return nil, fmt.Errorf("detect: match: %w: rows for %d queries, and there are %d", ErrOption, len(rows), len(queries.names))
	}
	if err := m.limit(count); err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	r := &Regions{detector: d, objectness: stored.Objectness}
	defer r.Close()
	var top ranking
	err = d.onEngineBetween(ctx, func(s *torch.Scope) error {
		embeddings := s.To(torch.Upload(s, stored.Embeddings, int64(count), int64(d.files.Image.Manifest.EmbeddingWidth)), torch.Float32)
		objectness := torch.Upload(s, stored.Objectness, int64(count), 1)
		made, err := d.rank(s, embeddings, objectness, torch.Tensor{}, m)
		if err == nil {
			top, err = d.ranking(s, made)
		}
		if err == nil {
			r.embeddings = s.Keep(embeddings)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	var kept []survivor
	for q, list := range top.lists(m.thresholds) {
		wanted := make(map[int]bool)
		for _, row := range rows[q] {
			wanted[row] = true
		}
		for _, c := range list {
			if wanted[int(c.proposal)] {
				kept = append(kept, survivor{candidate: c})
			}
		}
	}
	phrases, err := r.nearestPhrases(ctx, kept, top, queries)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	for i, c := range kept {
		matches[c.query] = append(matches[c.query], StoredMatch{int(c.proposal), r.report(top, queries, c, phrases[i])})
	}
	return matches, nil
}

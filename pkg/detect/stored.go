package detect

import (
	"context"
	"fmt"
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
	// Objectness [N] is of the proposals. Only RankFused and RankMean rank by it; for the
	// others it may be nil, and MatchStored then reports 0.
	Objectness []float32
	// Keep [N] says which regions take part; nil is all.
	Keep []bool
	// Groups [N] are numbers of groups, such as pictures. Nearest returns only the best
	// region of each group for each query. nil is a group for each region.
	Groups []int64
}

// regions returns N, for embeddings of a width. It fails with ErrOption if a slice has
// another length.
func (stored Stored) regions(width int64, rank Rank) (int64, error) {
	rows := int64(len(stored.Embeddings)) / width
	fits := func(n int, needed bool) bool { return int64(n) == rows || n == 0 && !needed }
	if rows*width != int64(len(stored.Embeddings)) || !fits(len(stored.Objectness), rank.byObjectness()) ||
		!fits(len(stored.Keep), stored.Keep != nil) || !fits(len(stored.Groups), stored.Groups != nil) {
		return 0, fmt.Errorf("%w: %d values of width %d, with %d objectnesses, %d marks and %d groups", ErrOption,
			len(stored.Embeddings), width, len(stored.Objectness), len(stored.Keep), len(stored.Groups))
	}
	return rows, nil
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

// MatchStored returns, for each query, what Match without suppression reports of some
// stored regions: of rows[q] for query q, which are rows of stored, and of those that reach
// the query's threshold, best first. Of params it reads Rank, Scores, Threshold and
// Thresholds. It ignores Keep and Groups. It fails with ErrLimit if stored has more regions
// for the queries than a picture may have, and with ErrOption if the lengths of its slices
// don't fit.
func (d *Detector) MatchStored(ctx context.Context, stored Stored, rows [][]int, queries *Queries, params Params) (_ [][]StoredMatch, err error) {
	defer d.callEnds(ctx, "MatchStored", time.Now(), &err)
	m, err := d.matching(queries, Params{Rank: params.Rank, Scores: params.Scores, Threshold: params.Threshold, Thresholds: params.Thresholds, NMS: 1})
	if err != nil {
		return nil, err
	}
	matches := make([][]StoredMatch, len(queries.names))
	stored.Keep, stored.Groups = nil, nil
	width := int64(d.files.Image.Manifest.EmbeddingWidth)
	count, err := stored.regions(width, m.Rank)
	if err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	if count == 0 {
		return matches, nil
	}
	if len(rows) != len(queries.names) {
		return nil, fmt.Errorf("detect: match: %w: rows for %d queries, and there are %d", ErrOption, len(rows), len(queries.names))
	}
	if err := m.limit(int(count)); err != nil {
		return nil, fmt.Errorf("detect: match: %w", err)
	}
	if len(stored.Objectness) == 0 {
		stored.Objectness = make([]float32, count)
	}
	r := &Regions{detector: d, objectness: stored.Objectness}
	defer r.Close()
	var top ranking
	err = d.onEngineBetween(ctx, func(s *torch.Scope) error {
		embeddings := s.To(torch.Upload(s, stored.Embeddings, count, width), torch.Float32)
		objectness := torch.Upload(s, stored.Objectness, count, 1)
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

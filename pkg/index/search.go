package index

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/clipdet/clipdet/pkg/detect"
)

// DefaultTopK is what Params.TopK stands for if it is 0.
const DefaultTopK = 100

// Params say what Search returns. The zero Params return the 100 best regions of each
// query.
type Params struct {
	// TopK is the largest number of hits of a query; 0 is DefaultTopK.
	TopK int
	// PerPicture returns only the best region of each picture for each query.
	PerPicture bool
	// Rank is the number that orders the hits; "" is detect.RankFused.
	Rank detect.Rank
	// Scores is what a query's Probability is measured against; "" is
	// detect.ScoresTogether.
	Scores detect.Scores
	// Threshold is the lowest Score of a hit; 0 is none.
	Threshold float32
	// MinSize is the smallest shorter side of a box, in pixels of its picture.
	MinSize float64
	// Path is a pattern of path.Match that the pictures' paths match, or, if it has no
	// slash, their names in their folders; "" matches all.
	Path string
}

func (p Params) withDefaults() (Params, error) {
	if p.TopK == 0 {
		p.TopK = DefaultTopK
	}
	if p.Rank == "" {
		p.Rank = detect.RankFused
	}
	if _, err := path.Match(p.Path, ""); err != nil {
		return p, fmt.Errorf("index: %w: the pattern %q: %w", ErrOption, p.Path, err)
	}
	if p.TopK < 0 || !(p.MinSize >= 0) {
		return p, fmt.Errorf("index: %w: TopK is %d and MinSize %v; neither can be negative", ErrOption, p.TopK, p.MinSize)
	}
	return p, nil
}

// filters reports whether Params leave out regions by what they are.
func (p Params) filters() bool { return p.MinSize > 0 || p.Path != "" }

// fits reports whether a picture's path matches the pattern.
func (p Params) fits(name string) bool {
	if p.Path == "" {
		return true
	}
	if !strings.Contains(p.Path, "/") {
		name = path.Base(name)
	}
	matches, _ := path.Match(p.Path, name) // the pattern was checked
	return matches
}

// Hit is a region of the index that fits a query.
type Hit struct {
	// Detection is what detect.Regions.Match gives of the region, with the same parts, up
	// to the half precision of the stored embedding: 2e-3 in probabilities and scores.
	detect.Detection
	Picture string `json:"image"`  // its path
	Region  int    `json:"region"` // its number in the picture, from 1, by objectness
	Width   int    `json:"width"`  // of the upright picture, pixels
	Height  int    `json:"height"`
	SHA256  string `json:"-"` // of the picture's file, when it was indexed
}

// Search returns the hits of each query, best first, in the order of queries' Names. It is
// exact: every region is compared with every query. Filters apply before the best are
// chosen, so there are TopK hits if so many regions fit. Of regions with equal scores any
// may come first, or be left out.
//
// The queries are of det, whose models must be the index's (ErrModels). The softmax of a
// Probability is over the queries of the call and det's background, or over the background
// alone, as in Detect. It fails
// with ErrChanged if Compact has run since Open, with ErrDamaged, with ErrOption, with the
// errors of [detect.Detector.Nearest], and with the cause if ctx ends.
func (ix *Index) Search(ctx context.Context, det *detect.Detector, queries *detect.Queries, params Params) ([][]Hit, error) {
	if err := ix.Check(det.Info()); err != nil {
		return nil, err
	}
	params, err := params.withDefaults()
	if err != nil {
		return nil, err
	}
	hits, err := ix.search(ctx, det, queries, params)
	if err != nil {
		return nil, fmt.Errorf("index: search: %w", err)
	}
	return hits, nil
}

func (ix *Index) search(ctx context.Context, det *detect.Detector, queries *detect.Queries, params Params) ([][]Hit, error) {
	asked := detect.Params{TopK: params.TopK, Rank: params.Rank, Scores: params.Scores, Threshold: params.Threshold}
	places, err := det.Nearest(ctx, blocks{ctx, ix, params}.each, queries, asked)
	if err != nil {
		return nil, err
	}
	found := slices.Concat(places...) // a region may be among the best of several queries
	slices.Sort(found)
	found = slices.Compact(found)
	chosen, err := ix.choose(found)
	if err != nil {
		return nil, err
	}
	rows := make([][]int, len(places))
	for q, list := range places {
		for _, place := range list {
			row, _ := slices.BinarySearch(found, place)
			rows[q] = append(rows[q], row)
		}
	}
	matches, err := det.MatchStored(ctx, chosen.stored, rows, queries, asked)
	if err != nil {
		return nil, err
	}
	hits := make([][]Hit, len(matches))
	for q, list := range matches {
		for _, m := range list {
			hit := chosen.hits[m.Row]
			m.Box = hit.Box
			hit.Detection = m.Detection
			hits[q] = append(hits[q], hit)
		}
	}
	return hits, nil
}

// blocks gives the shards to Nearest.
type blocks struct {
	ctx    context.Context
	ix     *Index
	params Params
}

// block is a shard that is ready to be searched.
type block struct {
	vectors
	stored detect.Stored
	err    error
}

// each yields the shards, and reads the next one meanwhile.
func (b blocks) each(yield func(detect.Stored, error) bool) {
	next, stop := ahead(b.ix.shards, b.read)
	defer stop()
	for {
		ready, more := next()
		if !more {
			return
		}
		proceed := yield(ready.stored, ready.err)
		ready.close()
		if !proceed {
			return
		}
	}
}

// ahead calls read for each shard on another goroutine, one ahead of next. stop ends it and
// closes what nobody took.
func ahead(shards []shard, read func(shard) block) (next func() (block, bool), stop func()) {
	ready, done := make(chan block), make(chan struct{})
	go func() {
		defer close(ready)
		for _, s := range shards {
			b := read(s)
			select {
			case ready <- b:
			case <-done:
				b.close()
				return
			}
			if b.err != nil {
				return
			}
		}
	}()
	return func() (block, bool) { b, ok := <-ready; return b, ok },
		func() {
			close(done)
			for b := range ready {
				b.close()
			}
		}
}

// read maps a shard and marks the regions that take part.
func (b blocks) read(s shard) (ready block) {
	defer func() {
		if ready.err != nil {
			ready.close()
			ready = block{err: gone(ready.err)}
		}
	}()
	if ready.err = context.Cause(b.ctx); ready.err != nil {
		return ready
	}
	if ready.vectors, ready.err = s.vectors(); ready.err != nil {
		return ready
	}
	ready.stored.Embeddings = ready.values
	byObjectness := b.params.Rank == detect.RankFused || b.params.Rank == detect.RankMean
	if byObjectness || b.params.filters() || b.params.PerPicture {
		var c *contents
		if c, ready.err = b.ix.contents(s); ready.err != nil {
			return ready
		}
		ready.stored.Objectness = c.objectness
		if b.params.filters() {
			ready.stored.Keep = b.params.keep(c)
		}
		if b.params.PerPicture {
			ready.stored.Groups = c.groups(s.number)
		}
	}
	if dead := b.ix.dead[s.number]; len(dead) > 0 {
		if ready.stored.Keep == nil {
			ready.stored.Keep = slices.Repeat([]bool{true}, s.Regions)
		}
		for _, t := range dead {
			if t.First < 0 || t.Regions < 0 || t.First+t.Regions > s.Regions {
				ready.err = fmt.Errorf("%s: %w: there is a tombstone for its rows %d to %d of %d", s.path("json"), ErrDamaged, t.First, t.First+t.Regions, s.Regions)
				return ready
			}
			clear(ready.stored.Keep[t.First : t.First+t.Regions])
		}
	}
	return ready
}

// keep returns which regions of a shard the filters let through.
func (p Params) keep(c *contents) []bool {
	keep := make([]bool, len(c.boxes))
	for _, picture := range c.pictures {
		if !p.fits(picture.Path) {
			continue
		}
		for i := picture.first; i < picture.first+picture.regions; i++ {
			b := c.boxes[i]
			keep[i] = float64(min(b.X1-b.X0, b.Y1-b.Y0)) >= p.MinSize
		}
	}
	return keep
}

// chosen are regions of several shards.
type chosen struct {
	stored detect.Stored
	hits   []Hit // without the parts of the score
}

// choose copies regions, whose places are given in order.
func (ix *Index) choose(places []int64) (chosen, error) {
	var all chosen
	first := int64(0)
	for _, s := range ix.shards {
		n := 0
		for n < len(places) && places[n] < first+int64(s.Regions) {
			n++
		}
		if n > 0 {
			if err := ix.chooseOf(s, places[:n], first, &all); err != nil {
				return chosen{}, gone(err)
			}
		}
		places, first = places[n:], first+int64(s.Regions)
	}
	return all, nil
}

func (ix *Index) chooseOf(s shard, places []int64, first int64, to *chosen) error {
	v, err := s.vectors()
	if err != nil {
		return err
	}
	defer v.close()
	c, err := ix.contents(s)
	if err != nil {
		return err
	}
	for _, place := range places {
		i := int(place - first)
		to.stored.Embeddings = append(to.stored.Embeddings, v.values[i*s.Made.Width:(i+1)*s.Made.Width]...)
		to.stored.Objectness = append(to.stored.Objectness, c.objectness[i])
		p := c.pictures[c.pictureOf[i]]
		to.hits = append(to.hits, Hit{
			Detection: detect.Detection{Box: c.boxes[i]}, Picture: p.Path, Region: i - p.first + 1, Width: p.width, Height: p.height, SHA256: p.SHA256,
		})
	}
	return nil
}

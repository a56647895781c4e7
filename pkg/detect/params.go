package detect

import (
	"fmt"
	"maps"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
)

// Rank says which number orders the boxes of a query and is the Score of a Detection.
type Rank string

// The ranks.
const (
	// RankFused is the geometric mean of Probability and Objectness, and the default. It
	// is low for half an object and for an object of another kind, since one of the two
	// is low.
	RankFused Rank = "fused"
	// RankMean is the arithmetic mean of Probability and Objectness. It isn't low if only
	// one of the two is.
	RankMean Rank = "mean"
	// RankProbability is the Probability.
	RankProbability Rank = "probability"
	// RankCosine is the Cosine, as in the first description of the method.
	RankCosine Rank = "cosine"
)

// byObjectness reports whether the rank needs the objectness.
func (r Rank) byObjectness() bool { return r == RankFused || r == RankMean }

// Scores says what a query's Probability is measured against.
type Scores string

const (
	// ScoresTogether measures each query against the background and the other queries,
	// except those that are its like (Options.Alike), and is the default: which of these
	// is it?
	ScoresTogether Scores = "together"
	// ScoresEach measures each query against the background alone: is it that, too? It is
	// for names that don't exclude each other, such as person and runner. The answer to one
	// query doesn't depend on the others. A Detector without a background can't do it:
	// ErrOption.
	ScoresEach Scores = "each"
)

// ranks are all Ranks, the default first.
var ranks = []Rank{RankFused, RankMean, RankProbability, RankCosine}

// DefaultThreshold is the least score that the command and package serve report unless
// they are told another, by every rank but RankCosine, which has another scale and there
// keeps all boxes. It was chosen where the precision and the recall of the built-in models
// are equal in drawings, with 20 names asked. What they reach there on photos is in their
// MODELCARD.md. Params has no such default: its Threshold 0 keeps all.
const DefaultThreshold = 0.65

// DefaultNMS is the IoU that Params.NMS stands for if it is 0.
const DefaultNMS = 0.5

// defaultMaxDetections is far above the 100 detections of a picture that COCO's
// evaluation reads. So many take some 150 MB.
const defaultMaxDetections = 1_000_000

// Params say what to report of a picture. The zero Params report every box that NMS
// keeps.
type Params struct {
	// TopK is the largest number of boxes of a query; 0 is all.
	TopK int
	// Best is the largest number of boxes of all queries together, those with the
	// greatest Scores; 0 is all. COCO's evaluation takes 100 of a picture. With many
	// queries it saves most of the time that reporting takes.
	Best int
	// Threshold is the lowest Score that is reported; 0 reports all.
	Threshold float32
	// Thresholds are thresholds of single queries by their names, in place of Threshold.
	// A name of no query is ErrQuery.
	Thresholds map[string]float32
	// NMS is the IoU above which the box with the lower Score of two boxes of one query
	// is dropped; 0 is DefaultNMS, and 1 or more keeps all.
	NMS float64
	// Agnostic suppresses across the queries. Each proposal belongs to one query: the
	// query with the greatest Score among the queries whose threshold it reaches. NMS, or
	// SoftNMS, then treats the boxes of all queries as boxes of one.
	Agnostic bool
	// SoftNMS, if it isn't 0, replaces NMS and lowers scores. Each kept box, from the
	// best on, multiplies the Score of every other box of its query by exp(-IoU²/SoftNMS)
	// (Bodla et al., arXiv:1704.04503, who use 0.5). Boxes whose Score falls under the
	// threshold are dropped. SoftNMS with RankCosine is ErrOption, since a cosine may be
	// negative.
	SoftNMS float64
	// BoxVoting, if it isn't 0, moves each kept box to a weighted mean of boxes: the
	// boxes of its query that reach the threshold and whose IoU with it is above
	// BoxVoting. The weights are their scores (Gidaris and Komodakis, arXiv:1505.01749,
	// who use 0.5). The parts of the score don't change.
	BoxVoting float64
	// Contained drops a box, before NMS, if more than this share of its area lies inside
	// a kept box of the same query with a greater Score. 0 drops none, and neither does 1
	// or more.
	Contained float64
	// MinSize drops boxes whose shorter side has fewer pixels, and MaxSize boxes whose
	// longer side has more, before any other box is dropped because of them. 0 drops none.
	// Presence.Score is of all boxes.
	MinSize, MaxSize float64
	// Rank is the number that is the Score; "" is RankFused.
	Rank Rank
	// Scores is what a query's Probability is measured against; "" is ScoresTogether.
	Scores Scores
	// MaxDetections bounds the memory for the Detections of a picture. More of them, after
	// TopK and Best, are ErrLimit; none is left out silently. 0 is 1,000,000. With Tile, so
	// many are also taken of the picture and its tiles together, before they are merged and
	// TopK and Best apply, or 1,000,000 if that is more.
	MaxDetections int
	// Tile, if it isn't 0, does a large picture in tiles, too: overlapping squares of so
	// many pixels a side, 32 at least, or [TileAuto]. Things are found that are too small
	// for the proposal network in the whole picture, for the time of as many pictures as
	// there are tiles. The detections of the picture and of the tiles are merged by NMS,
	// also with SoftNMS. Boxes that a tile's edge cuts come last there, and are dropped if
	// more than half of them lies in another box. Contained and BoxVoting work within each
	// tile. Boxes are in pixels of the picture. More than 4,096 tiles are ErrLimit. [Regions]
	// have no tiles, so Match with Tile is ErrOption. WithProposals has none either, and is
	// done as without Tile.
	Tile int
	// TileOverlap is the share of a tile's side that neighbours have in common at least, up
	// to 0.8; 0 is DefaultTileOverlap. Things that are smaller are whole in one of the tiles.
	TileOverlap float64
}

func (p Params) withDefaults() (Params, error) {
	if p.Rank == "" {
		p.Rank = RankFused
	}
	if p.Scores == "" {
		p.Scores = ScoresTogether
	}
	if p.NMS == 0 {
		p.NMS = DefaultNMS
	}
	if p.MaxDetections == 0 {
		p.MaxDetections = defaultMaxDetections
	}
	if p.TileOverlap == 0 {
		p.TileOverlap = DefaultTileOverlap
	}
	if err := p.checkTile(); err != nil {
		return p, err
	}
	switch {
	case p.MaxDetections < 0:
		return p, fmt.Errorf("%w: MaxDetections is %d; it must be positive, or 0 for the default", ErrOption, p.MaxDetections)
	case p.TopK < 0:
		return p, fmt.Errorf("%w: TopK is %d; it must be positive, or 0 for all", ErrOption, p.TopK)
	case p.Best < 0:
		return p, fmt.Errorf("%w: Best is %d; it must be positive, or 0 for all", ErrOption, p.Best)
	case !(p.NMS > 0):
		return p, fmt.Errorf("%w: NMS is %v; it is an IoU above 0, and 1 keeps all boxes", ErrOption, p.NMS)
	case p.Threshold != p.Threshold:
		return p, fmt.Errorf("%w: Threshold is not a number", ErrOption)
	case !(p.SoftNMS >= 0):
		return p, fmt.Errorf("%w: SoftNMS is %v; it is a sigma above 0, or 0 for none", ErrOption, p.SoftNMS)
	case p.SoftNMS > 0 && p.Rank == RankCosine:
		return p, fmt.Errorf("%w: SoftNMS lowers scores that aren't negative; take another Rank than cosine", ErrOption)
	case !(p.BoxVoting >= 0):
		return p, fmt.Errorf("%w: BoxVoting is %v; it is an IoU above 0, or 0 for none", ErrOption, p.BoxVoting)
	case !(p.MinSize >= 0), !(p.MaxSize >= 0):
		return p, fmt.Errorf("%w: MinSize and MaxSize are %v and %v; they are numbers of pixels, or 0 for none", ErrOption, p.MinSize, p.MaxSize)
	case !(p.Contained >= 0):
		return p, fmt.Errorf("%w: Contained is %v; it is a share between 0 and 1, or 0 for none", ErrOption, p.Contained)
	case !slices.Contains(ranks, p.Rank):
		return p, fmt.Errorf("%w: Rank is %q; write fused, mean, probability or cosine", ErrOption, p.Rank)
	case p.Scores != ScoresTogether && p.Scores != ScoresEach:
		return p, fmt.Errorf("%w: Scores is %q; write together or each", ErrOption, p.Scores)
	}
	for _, query := range slices.Sorted(maps.Keys(p.Thresholds)) {
		if threshold := p.Thresholds[query]; threshold != threshold {
			return p, fmt.Errorf("%w: the threshold of %q is not a number", ErrOption, query)
		}
	}
	return p, nil
}

// suppresses reports whether a box may be dropped or moved for another reason than its
// score, so that all boxes are needed.
func (p Params) suppresses() bool {
	return p.sized() || p.NMS < 1 || p.Agnostic || p.SoftNMS > 0 || p.BoxVoting > 0 || p.contained()
}

func (p Params) sized() bool { return p.MinSize > 0 || p.MaxSize > 0 }

// fits reports whether a box has a size that is asked for.
func (p Params) fits(b box.Box) bool {
	width, height := float64(b.X1-b.X0), float64(b.Y1-b.Y0)
	return min(width, height) >= p.MinSize && (p.MaxSize == 0 || max(width, height) <= p.MaxSize)
}

func (p Params) contained() bool { return p.Contained > 0 && p.Contained < 1 }

// maxCandidates is the largest number of boxes times queries. Each takes 4 bytes in
// several arrays.
const maxCandidates = 1 << 26

// matching is what a call asks of a picture: queries, Params with their defaults, and the
// threshold of each query.
type matching struct {
	Params
	queries    *Queries
	thresholds []float32
}

// matching checks the queries and Params of a call.
func (d *Detector) matching(queries *Queries, params Params) (matching, error) {
	params, err := params.withDefaults()
	if err != nil {
		return matching{}, fmt.Errorf("detect: %w", err)
	}
	if queries == nil {
		return matching{}, fmt.Errorf("detect: %w: they are nil; make them with Detector.Queries", ErrQuery)
	}
	if queries.detector != d {
		return matching{}, fmt.Errorf("detect: %w: they are of another detector", ErrQuery)
	}
	if params.Scores == ScoresEach && len(d.options.Background) == 0 {
		return matching{}, fmt.Errorf("detect: %w: Scores is %q, which measures against the background, and there is none", ErrOption, params.Scores)
	}
	m := matching{Params: params, queries: queries, thresholds: slices.Repeat([]float32{params.Threshold}, len(queries.names))}
	for _, name := range slices.Sorted(maps.Keys(params.Thresholds)) {
		place, known := queries.places[name]
		if !known {
			return matching{}, fmt.Errorf("detect: %w: there is a threshold for %q, which is none of them", ErrQuery, name)
		}
		m.thresholds[place] = params.Thresholds[name]
	}
	return m, nil
}

// limit fails with ErrLimit if a picture has too many boxes for the queries.
func (m matching) limit(boxes int) error {
	if n := boxes * len(m.queries.names); n > maxCandidates {
		return fmt.Errorf("%w: %d boxes times %d queries are %d candidates, and %d are taken; ask in several runs or for fewer proposals",
			ErrLimit, boxes, len(m.queries.names), n, maxCandidates)
	}
	return nil
}

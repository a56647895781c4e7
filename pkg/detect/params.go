package detect

import (
	"fmt"
	"maps"
	"slices"
)

// Rank is the number that orders the boxes of a query: the Score of a Detection.
type Rank string

// The ranks.
const (
	// RankFused is the geometric mean of Probability and Objectness, the default. A box of
	// half an object, or of an object of another kind, is low in one of them.
	RankFused Rank = "fused"
	// RankMean is the arithmetic mean of Probability and Objectness. A box that is high in
	// one of them alone isn't low.
	RankMean Rank = "mean"
	// RankProbability is Probability alone.
	RankProbability Rank = "probability"
	// RankCosine is Cosine alone, as in the method's first description.
	RankCosine Rank = "cosine"
)

// ranks are all of them, the default first.
var ranks = []Rank{RankFused, RankMean, RankProbability, RankCosine}

// DefaultNMS is the IoU above which the weaker of two boxes of one query is dropped.
const DefaultNMS = 0.5

// defaultMaxDetections is far above the 100 that COCO's evaluation reads of a picture, and
// takes some 150 MB.
const defaultMaxDetections = 1_000_000

// Params are the choices of what to report. The zero Params reports every box that
// survives NMS.
type Params struct {
	// TopK is the largest number of boxes of each query; 0 is all.
	TopK int
	// Threshold is the least Score that is reported; 0 reports all.
	Threshold float32
	// Thresholds are the thresholds of single queries by their names, in place of Threshold.
	// A name that is of no query is ErrQuery.
	Thresholds map[string]float32
	// NMS is the IoU above which the weaker of two boxes of one query is dropped; 0 is
	// DefaultNMS, and 1 or more keeps all.
	NMS float64
	// Agnostic suppresses across the queries: a proposal belongs to the query with the
	// greatest Score of those whose threshold it reaches, and NMS, or SoftNMS, then takes the
	// boxes of all queries as those of one.
	Agnostic bool
	// SoftNMS lowers scores in place of NMS, unless it is 0: each box that is kept, from the
	// best on, multiplies the Score of every other by exp(-IoU²/SoftNMS) (Bodla et al.,
	// arXiv:1704.04503, who take 0.5). Boxes whose Score falls under the threshold are
	// dropped. RankCosine is refused, since a cosine may be negative.
	SoftNMS float64
	// BoxVoting moves each kept box, unless it is 0, to the mean of the boxes of its query
	// that reached the threshold and overlap it with an IoU above BoxVoting, weighted by
	// their scores (Gidaris and Komodakis, arXiv:1505.01749, who take 0.5). The parts of the
	// score stay the kept proposal's.
	BoxVoting float64
	// Contained drops a box, before NMS, if more than this share of it lies inside a stronger
	// box of the same query; 0, and 1 or more, drop none.
	Contained float64
	// Rank is the number that Score is; "" is RankFused.
	Rank Rank
	// MaxDetections bounds the memory of one picture's Detections: more are ErrLimit, and
	// none is left out silently. 0 is 1,000,000.
	MaxDetections int
}

func (p Params) withDefaults() (Params, error) {
	if p.Rank == "" {
		p.Rank = RankFused
	}
	if p.NMS == 0 {
		p.NMS = DefaultNMS
	}
	if p.MaxDetections == 0 {
		p.MaxDetections = defaultMaxDetections
	}
	switch {
	case p.MaxDetections < 0:
		return p, fmt.Errorf("%w: MaxDetections is %d; it must be positive, or 0 for the default", ErrOption, p.MaxDetections)
	case p.TopK < 0:
		return p, fmt.Errorf("%w: TopK is %d; it must be positive, or 0 for all", ErrOption, p.TopK)
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
	case !(p.Contained >= 0):
		return p, fmt.Errorf("%w: Contained is %v; it is a share between 0 and 1, or 0 for none", ErrOption, p.Contained)
	case !slices.Contains(ranks, p.Rank):
		return p, fmt.Errorf("%w: Rank is %q; write fused, mean, probability or cosine", ErrOption, p.Rank)
	}
	for _, query := range slices.Sorted(maps.Keys(p.Thresholds)) {
		if threshold := p.Thresholds[query]; threshold != threshold {
			return p, fmt.Errorf("%w: the threshold of %q is not a number", ErrOption, query)
		}
	}
	return p, nil
}

// suppresses reports whether a box may be dropped or moved for another, so that all are
// needed.
func (p Params) suppresses() bool {
	return p.NMS < 1 || p.Agnostic || p.SoftNMS > 0 || p.BoxVoting > 0 || p.contained()
}

func (p Params) contained() bool { return p.Contained > 0 && p.Contained < 1 }

// maxCandidates bounds boxes times queries. Their scores take 4 bytes each, several times
// over.
const maxCandidates = 1 << 26

// matching is what is asked of a picture: queries, complete Params, and the threshold of
// each query.
type matching struct {
	Params
	queries    *Queries
	thresholds []float32
}

// matching checks what is asked.
func (d *Detector) matching(queries *Queries, params Params) (matching, error) {
	params, err := params.withDefaults()
	if err != nil {
		return matching{}, fmt.Errorf("detect: %w", err)
	}
	if queries == nil || queries.detector != d {
		return matching{}, fmt.Errorf("detect: %w: they are of another detector", ErrQuery)
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

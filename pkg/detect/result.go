package detect

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
)

// Proposal is a candidate box and the probability in [0,1] that it holds an object.
type Proposal = rpn.Proposal

// Detection is a box that fits a query, with every part of its score.
type Detection struct {
	Query       string  `json:"query"`
	Box         box.Box `json:"box"`         // pixels of the picture: x0, y0, x1, y1
	Score       float32 `json:"score"`       // as Params.Rank says
	Cosine      float32 `json:"cosine"`      // of the box and the query's mean, in [-1,1]
	Probability float32 `json:"probability"` // softmax over the queries, the background and the query's negatives, at CLIP's logit scale
	Objectness  float32 `json:"objectness"`  // of the proposal
	Phrase      string  `json:"phrase"`      // the query's phrasing, or @ and example, with the greatest cosine
	RunnerUp    string  `json:"runner_up"`   // the other query with the greatest cosine; "" where there is one query
}

// Result is what was found in one picture.
type Result struct {
	Width, Height int         // of the picture, pixels
	Proposals     []Proposal  // best first
	Detections    []Detection // of all queries, greatest score first
	Presence      []Presence  // one of each query, in their order
	Timings       Timings
}

// Presence says whether a query is in a picture.
type Presence struct {
	Query     string  `json:"query"`
	Present   bool    `json:"present"`   // whether there is a Detection of it
	Score     float32 `json:"score"`     // the best of its boxes, before thresholds and suppression; 0 without proposals
	Threshold float32 `json:"threshold"` // that was asked of it
}

// Timings say how long the stages of one picture took. On a GPU, work goes on behind
// a stage's end, and a stage that waits for it (RPN, Download) is charged with it;
// with Options.Synchronize each stage is charged with its own work alone. Pictures that
// went together (Options.Pictures) have equal shares of what they took.
type Timings struct {
	Upload   time.Duration // picture to the device
	RPN      time.Duration // proposals, to the host
	Crop     time.Duration // cutting and resizing the boxes
	Encode   time.Duration // embedding the crops
	Rank     time.Duration // cosine, scores, top-k and NMS
	Download time.Duration // scores to the host
}

// share is the part of one of n pictures that went together.
func (t Timings) share(n int) Timings {
	of := func(d time.Duration) time.Duration { return d / time.Duration(n) }
	return Timings{of(t.Upload), of(t.RPN), of(t.Crop), of(t.Encode), of(t.Rank), of(t.Download)}
}

// MarshalJSON gives the stages in milliseconds.
func (t Timings) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(struct {
		Upload   float64 `json:"upload"`
		RPN      float64 `json:"rpn"`
		Crop     float64 `json:"crop"`
		Encode   float64 `json:"encode"`
		Rank     float64 `json:"rank"`
		Download float64 `json:"download"`
	}{ms(t.Upload), ms(t.RPN), ms(t.Crop), ms(t.Encode), ms(t.Rank), ms(t.Download)})
}

// UnmarshalJSON reads milliseconds, to the microsecond. A stage that is missing is 0; one
// that is negative or more than a year is an error.
func (t *Timings) UnmarshalJSON(data []byte) error {
	var ms struct {
		Upload, RPN, Crop, Encode, Rank, Download float64
	}
	if err := json.Unmarshal(data, &ms); err != nil {
		return fmt.Errorf("timings: %w", err)
	}
	for i, v := range []float64{ms.Upload, ms.RPN, ms.Crop, ms.Encode, ms.Rank, ms.Download} {
		if !(v >= 0 && v <= 366*24*3600e3) {
			return fmt.Errorf("timings: stage %d took %v ms; it must be 0 to a year", i+1, v)
		}
	}
	span := func(ms float64) time.Duration { return time.Duration(math.Round(ms*1000)) * time.Microsecond }
	*t = Timings{span(ms.Upload), span(ms.RPN), span(ms.Crop), span(ms.Encode), span(ms.Rank), span(ms.Download)}
	return nil
}

// Rank says what the boxes of a query are ordered by: the Score of a Detection.
type Rank string

// The ranks.
const (
	// RankFused is the geometric mean of Probability and Objectness, the default: a
	// box that is half an object, or an object of another kind, is low in one of them.
	RankFused Rank = "fused"
	// RankMean is the arithmetic mean of Probability and Objectness: a box that is
	// high in one of them alone isn't low.
	RankMean Rank = "mean"
	// RankProbability is Probability alone.
	RankProbability Rank = "probability"
	// RankCosine is Cosine alone, as in the method's first description.
	RankCosine Rank = "cosine"
)

// Ranks are all ranks, the default first. The slice is the caller's.
func Ranks() []Rank { return []Rank{RankFused, RankMean, RankProbability, RankCosine} }

// DefaultNMS is the IoU above which the weaker of two boxes of one query goes.
const DefaultNMS = 0.5

// DefaultMaxDetections is far above what COCO's evaluation reads of a picture, 100, and takes some 150 MB.
const DefaultMaxDetections = 1_000_000

// maxCandidates bounds boxes times queries, whose scores take 4 bytes each, several times over.
const maxCandidates = 1 << 26

// Params say what to report. The zero Params reports every box that survives NMS.
type Params struct {
	// TopK is the largest number of boxes of each query; 0 is all.
	TopK int
	// Threshold is the least Score that is reported; 0 reports all.
	Threshold float32
	// Thresholds are those of single queries by their names, in place of Threshold.
	// calibration.Calibration.For gives them from pictures without the queries. Match
	// fails with ErrQuery where one is of no query.
	Thresholds map[string]float32
	// NMS is the IoU above which the weaker of two boxes of one query goes; 0 is
	// DefaultNMS, and 1 or more keeps all.
	NMS float64
	// Agnostic suppresses across the queries: a proposal goes to the query with the
	// greatest Score of those whose threshold it reaches, and then NMS, or SoftNMS,
	// sees the boxes of all queries as those of one.
	Agnostic bool
	// SoftNMS, where it isn't 0, lowers scores in the place of NMS: each box that is
	// kept, from the best on, multiplies the Score of every other by exp(-IoU²/SoftNMS)
	// (Bodla et al., arXiv:1704.04503, who take 0.5). Boxes go whose Score falls under
	// the threshold. RankCosine is refused, since a cosine may be negative.
	SoftNMS float64
	// BoxVoting, where it isn't 0, moves each kept box to the mean of the boxes of its
	// query that reached the threshold and overlap it with an IoU above this, weighted
	// by their scores (Gidaris and Komodakis, arXiv:1505.01749, who take 0.5). The parts
	// of the score stay those of the kept proposal.
	BoxVoting float64
	// Contained, where it is between 0 and 1, drops a box of which more than this
	// share lies inside a stronger box of the same query, before NMS.
	Contained float64
	// Rank is what Score is; "" is RankFused.
	Rank Rank
	// MaxDetections bounds the memory of one picture's Detections: more than so many
	// are ErrLimit, and none is left out silently. 0 is DefaultMaxDetections.
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
		p.MaxDetections = DefaultMaxDetections
	}
	switch {
	case p.MaxDetections < 0:
		return p, fmt.Errorf("%w: MaxDetections is %d; it must be positive, or 0 for the default", ErrOption, p.MaxDetections)
	case p.TopK < 0:
		return p, fmt.Errorf("%w: TopK is %d; it must be positive, or 0 for all", ErrOption, p.TopK)
	case !(p.NMS > 0):
		return p, fmt.Errorf("%w: NMS is %v; it is an IoU above 0, and 1 keeps all boxes", ErrOption, p.NMS)
	case p.Threshold != p.Threshold:
		return p, fmt.Errorf("%w: Threshold is no number", ErrOption)
	case !(p.SoftNMS >= 0):
		return p, fmt.Errorf("%w: SoftNMS is %v; it is a sigma above 0, or 0 for none", ErrOption, p.SoftNMS)
	case p.SoftNMS > 0 && p.Rank == RankCosine:
		return p, fmt.Errorf("%w: SoftNMS lowers scores that aren't negative; take another Rank than cosine", ErrOption)
	case !(p.BoxVoting >= 0):
		return p, fmt.Errorf("%w: BoxVoting is %v; it is an IoU above 0, or 0 for none", ErrOption, p.BoxVoting)
	case !(p.Contained >= 0):
		return p, fmt.Errorf("%w: Contained is %v; it is a share between 0 and 1, or 0 for none", ErrOption, p.Contained)
	case !slices.Contains(Ranks(), p.Rank):
		return p, fmt.Errorf("%w: Rank is %q; write fused, mean, probability or cosine", ErrOption, p.Rank)
	}
	for query, threshold := range p.Thresholds {
		if threshold != threshold {
			return p, fmt.Errorf("%w: the threshold of %q is no number", ErrOption, query)
		}
	}
	return p, nil
}

// suppresses says whether any box may go or move for another, so that all are needed.
func (p Params) suppresses() bool {
	return p.NMS < 1 || p.Agnostic || p.SoftNMS > 0 || p.BoxVoting > 0 || p.contained()
}

func (p Params) contained() bool { return p.Contained > 0 && p.Contained < 1 }

// thresholds are those of the queries, in their order.
func (p Params) thresholds(names []string) ([]float32, error) {
	for name := range p.Thresholds {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: there is a threshold for %q, which is none of them", ErrQuery, name)
		}
	}
	thresholds := make([]float32, len(names))
	for i, name := range names {
		thresholds[i] = p.Threshold
		if own, ok := p.Thresholds[name]; ok {
			thresholds[i] = own
		}
	}
	return thresholds, nil
}

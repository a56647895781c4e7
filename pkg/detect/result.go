package detect

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/rpn"
)

// Proposal is a candidate box and the probability in [0,1] that it holds an object.
type Proposal = rpn.Proposal

// Detection is a box that fits a query, with every part of its score.
type Detection struct {
	Query       string  `json:"query"`
	Box         box.Box `json:"box"`         // pixels of the picture: x0, y0, x1, y1
	Score       float32 `json:"score"`       // as Params.Rank says
	Cosine      float32 `json:"cosine"`      // of the box and the query's mean phrasing, in [-1,1]
	Probability float32 `json:"probability"` // softmax over the queries and the background, at CLIP's logit scale
	Objectness  float32 `json:"objectness"`  // of the proposal
	Phrase      string  `json:"phrase"`      // the query's phrasing with the greatest cosine
	RunnerUp    string  `json:"runner_up"`   // the other query with the greatest cosine; "" where there is one query
}

// Result is what was found in one picture.
type Result struct {
	Width, Height int         // of the picture, pixels
	Proposals     []Proposal  // best first
	Detections    []Detection // of all queries, greatest score first
	Timings       Timings
}

// Timings say how long the stages of one picture took. On a GPU, work goes on behind
// a stage's end, and a stage that waits for it (RPN, Download) is charged with it;
// with Options.Synchronize each stage is charged with its own work alone.
type Timings struct {
	Upload   time.Duration // picture to the device
	RPN      time.Duration // proposals, to the host
	Crop     time.Duration // cutting and resizing the boxes
	Encode   time.Duration // embedding the crops
	Rank     time.Duration // cosine, scores, top-k and NMS
	Download time.Duration // scores to the host
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

// Rank says what the boxes of a query are ordered by: the Score of a Detection.
type Rank string

// The ranks.
const (
	// RankFused is the geometric mean of Probability and Objectness, the default: a
	// box that is half an object, or an object of another kind, is low in one of them.
	RankFused Rank = "fused"
	// RankProbability is Probability alone.
	RankProbability Rank = "probability"
	// RankCosine is Cosine alone, as in the method's first description.
	RankCosine Rank = "cosine"
)

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
	// NMS is the IoU above which the weaker of two boxes of one query goes; 0 is
	// DefaultNMS, and 1 or more keeps all.
	NMS float64
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
	case p.Rank != RankFused && p.Rank != RankProbability && p.Rank != RankCosine:
		return p, fmt.Errorf("%w: Rank is %q; write fused, probability or cosine", ErrOption, p.Rank)
	}
	return p, nil
}

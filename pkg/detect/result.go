package detect

import "github.com/clipdet/clipdet/pkg/box"

// Proposal is a candidate box.
type Proposal struct {
	Box        box.Box `json:"box"`        // pixels of the picture: x0, y0, x1, y1
	Objectness float32 `json:"objectness"` // the probability in [0,1] that it holds an object of any kind
}

// Detection is a box that fits a query, with every part of its score.
type Detection struct {
	Query string  `json:"query"`
	Box   box.Box `json:"box"` // pixels of the picture: x0, y0, x1, y1
	// Score is the number that Params.Rank names.
	Score float32 `json:"score"`
	// Cosine is of the box and the query's mean, in [-1,1].
	Cosine float32 `json:"cosine"`
	// Probability is the softmax over the queries, the background and the query's negatives,
	// at CLIP's logit scale.
	Probability float32 `json:"probability"`
	Objectness  float32 `json:"objectness"` // of the proposal
	// Phrase is the query's phrasing, or @ and example, with the greatest cosine.
	Phrase string `json:"phrase"`
	// RunnerUp is the other query with the greatest cosine; "" if there is one query.
	RunnerUp string `json:"runner_up"`
}

// Result is the outcome of one picture.
type Result struct {
	Width, Height int         // of the picture, pixels
	Proposals     []Proposal  // best first
	Detections    []Detection // of all queries, greatest score first
	Presence      []Presence  // one of each query, in their order
	Timings       Timings
}

// Presence tells whether a query is in a picture.
type Presence struct {
	Query     string  `json:"query"`
	Present   bool    `json:"present"`   // whether there is a Detection of it
	Score     float32 `json:"score"`     // its best box's, before thresholds and suppression
	Threshold float32 `json:"threshold"` // of the query
}

package detect

import "github.com/clipdet/clipdet/pkg/box"

// Proposal is a candidate box.
type Proposal struct {
	Box        box.Box `json:"box"`        // pixels of the picture: x0, y0, x1, y1
	Objectness float32 `json:"objectness"` // the probability in [0,1] that it holds an object of any kind
}

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

package detect

import "github.com/clipdet/clipdet/pkg/box"

// Proposal is a candidate box. Objectness is the probability, in [0,1], that it holds an
// object of any kind.
type Proposal struct {
	Box        box.Box `json:"box"` // pixels of the picture: x0, y0, x1, y1
	Objectness float32 `json:"objectness"`
}

// Detection is a box that fits a query, with all parts of its score.
type Detection struct {
	Query string  `json:"query"`
	Box   box.Box `json:"box"` // pixels of the picture: x0, y0, x1, y1
	// Score is the number that Params.Rank names.
	Score float32 `json:"score"`
	// Cosine is the cosine of the box and the query's class, in [-1,1].
	Cosine float32 `json:"cosine"`
	// Probability is the softmax over the queries, the background and the query's own
	// negatives, at CLIP's logit scale. Options.Alike tells of queries that mean the same,
	// and Params.Scores leaves out the other queries.
	Probability float32 `json:"probability"`
	Objectness  float32 `json:"objectness"` // of the proposal
	// Phrase is the query's phrasing with the greatest cosine, or @ and the name of an
	// example.
	Phrase string `json:"phrase"`
	// RunnerUp is the other query with the greatest cosine; "" if there is only one
	// query.
	RunnerUp string `json:"runner_up"`
}

// Result is what was found in one picture.
type Result struct {
	Width, Height int         // of the picture, in pixels
	Proposals     []Proposal  // best first, or in the caller's order; then the proposals of each tile
	Detections    []Detection // of all queries, the greatest score first
	Presence      []Presence  // of each query, in their order
	Timings       Timings
	Tiles         int // that the picture was also done in; 0 without Params.Tile
}

// Presence says whether a query is in a picture.
type Presence struct {
	Query     string  `json:"query"`
	Present   bool    `json:"present"`   // whether it has a Detection, or would without Params.Best
	Score     float32 `json:"score"`     // its best, before thresholds and suppression
	Threshold float32 `json:"threshold"` // of the query
}

// Package calibration finds thresholds for the answer "not there", and reads and writes
// them.
//
// The scores of a query in pictures that don't show it tell how high a score means
// nothing. The threshold of the query is set so that a share of those pictures, the
// quantile, stays below it. About the same share of similar pictures will. This holds
// only for the same models and the same way of scoring. A [Calibration] therefore records
// what it was made with, and [Calibration.For] refuses anything else.
//
// The package doesn't need libtorch. Values may be used concurrently if none is changed.
package calibration

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// ErrCalibration is wrapped by every error of this package except for the errors of
// readers, of writers and of [ReadLabels]. Its causes are a file that is not a
// calibration or has another version, numbers out of range, and a Scoring that differs.
var ErrCalibration = errors.New("unusable calibration")

// Version is the version of the format that this package reads and writes.
const Version = 1

// DefaultQuantile is the usual share of pictures without a thing in which nothing is
// found. It allows 1 false alarm in 100.
const DefaultQuantile = 0.99

// Scoring is everything that scores depend on except for the picture.
type Scoring struct {
	Models        Models   `json:"models"`
	Rank          string   `json:"rank"`      // what the score is
	Proposals     int      `json:"proposals"` // candidate boxes per picture
	Crops         []Crop   `json:"crops"`
	Templates     []string `json:"templates"`
	Background    []string `json:"background"`
	SubtractEmpty bool     `json:"subtract_empty"`
	Queries       []Query  `json:"queries"`
	// Scores is "each" if each query was measured against the background alone. Alike is
	// the likeness above which queries aren't measured against each other. Either is left
	// out if it is the default.
	Scores string  `json:"scores,omitempty"`
	Alike  float64 `json:"alike,omitempty"`
}

// Models are the digests of the three archives.
type Models struct {
	RPN   string `json:"rpn"`
	Image string `json:"image"`
	Text  string `json:"text"`
}

// Crop is a view of each box.
type Crop struct {
	Mode    string  `json:"mode"`
	Context float64 `json:"context"`
}

// Query is a name and what describes or shows it.
type Query struct {
	Name  string   `json:"name"`
	Parts []string `json:"parts,omitempty"` // without phrases and examples: the templates
}

// Threshold is the least score of one query that means something.
type Threshold struct {
	Query     string  `json:"query"`
	Threshold float32 `json:"threshold"`
	Pictures  int     `json:"pictures"` // how many without the thing were used
}

// Calibration is the thresholds for the queries of a Scoring: one for each, in the same
// order.
type Calibration struct {
	Version    int         `json:"version"`
	Scoring    Scoring     `json:"scoring"`
	Quantile   float64     `json:"quantile"` // above 0, up to 1
	Thresholds []Threshold `json:"thresholds"`
}

// New returns the thresholds for the queries of scoring. negatives has, for each query
// name, the best score of the query in each picture that doesn't show it.
//
// A threshold is the least float32 above the score at place ⌈quantile n⌉ of n scores in
// ascending order: at least that share of the scores is below it. If n is below
// 1/(1-quantile), all scores are. A threshold of 0 is replaced by the next float32 above
// it.
func New(scoring Scoring, quantile float64, negatives map[string][]float32) (Calibration, error) {
	c := Calibration{Version: Version, Scoring: scoring, Quantile: quantile}
	if !(quantile > 0 && quantile <= 1) {
		return c, fmt.Errorf("%w: the quantile is %v, not above 0 and up to 1", ErrCalibration, quantile)
	}
	for _, query := range scoring.Queries {
		scores := slices.Clone(negatives[query.Name])
		if len(scores) == 0 {
			return c, fmt.Errorf("%w: no picture without %q; give some", ErrCalibration, query.Name)
		}
		slices.Sort(scores)
		// Rounding may put the product slightly above a whole number.
		place := max(1, int(math.Ceil(quantile*float64(len(scores))-1e-9)))
		above := math.Nextafter32(scores[place-1], float32(math.Inf(1)))
		if above == 0 { // detect takes 0 for no threshold
			above = math.SmallestNonzeroFloat32
		}
		c.Thresholds = append(c.Thresholds, Threshold{query.Name, above, len(scores)})
	}
	return c, c.check()
}

// mostBytes is more than the queries of one run take.
const mostBytes = 64 << 20

// Read reads what WriteJSON wrote, at most 64 MiB. It returns the errors of r unchanged.
// Every other error wraps [ErrCalibration]: if the input is longer, is not such JSON or
// has unknown fields or another version, if a number is out of range, or if the
// thresholds aren't one for each query.
func Read(r io.Reader) (Calibration, error) {
	data, err := io.ReadAll(io.LimitReader(r, mostBytes+1))
	if err != nil {
		return Calibration{}, err
	}
	if len(data) > mostBytes {
		return Calibration{}, fmt.Errorf("%w: it has more than %d bytes", ErrCalibration, mostBytes)
	}
	var has struct {
		Version    int `json:"version"`
		Thresholds []struct {
			Threshold *float32 `json:"threshold"` // nil: missing
		} `json:"thresholds"`
	}
	if err := json.Unmarshal(data, &has); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) { // its text names Go's types
			at := cmp.Or(wrong.Field, "the whole")
			return Calibration{}, fmt.Errorf("%w: it is not the JSON of one: %s is of another type, %s", ErrCalibration, at, wrong.Value)
		}
		return Calibration{}, fmt.Errorf("%w: it is not the JSON of one: %w", ErrCalibration, err)
	}
	if has.Version != Version {
		return Calibration{}, fmt.Errorf("%w: it is of version %d, and this program reads %d; calibrate again", ErrCalibration, has.Version, Version)
	}
	for i, t := range has.Thresholds {
		if t.Threshold == nil {
			return Calibration{}, fmt.Errorf("%w: threshold %d has no number", ErrCalibration, i+1)
		}
	}
	var c Calibration
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Calibration{}, fmt.Errorf("%w: %w", ErrCalibration, err)
	}
	if err := c.check(); err != nil {
		return Calibration{}, err
	}
	return c, nil
}

// WriteJSON writes c as JSON, after the same checks as in Read.
func (c Calibration) WriteJSON(w io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(c)
}

func (c Calibration) check() error {
	finite := func(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }
	switch {
	case c.Version != Version:
		return fmt.Errorf("%w: it is of version %d, not %d", ErrCalibration, c.Version, Version)
	case !(c.Quantile > 0 && c.Quantile <= 1):
		return fmt.Errorf("%w: the quantile is %v, not above 0 and up to 1", ErrCalibration, c.Quantile)
	case len(c.Scoring.Queries) == 0:
		return fmt.Errorf("%w: it has no query", ErrCalibration)
	case len(c.Thresholds) != len(c.Scoring.Queries):
		return fmt.Errorf("%w: %d thresholds for %d queries", ErrCalibration, len(c.Thresholds), len(c.Scoring.Queries))
	}
	for _, crop := range c.Scoring.Crops {
		if !finite(crop.Context) {
			return fmt.Errorf("%w: a crop's context is %v", ErrCalibration, crop.Context)
		}
	}
	seen := make(map[string]bool)
	for i, t := range c.Thresholds {
		switch {
		case t.Query != c.Scoring.Queries[i].Name:
			return fmt.Errorf("%w: threshold %d is of %q, and query %d is %q", ErrCalibration, i+1, t.Query, i+1, c.Scoring.Queries[i].Name)
		case seen[t.Query]:
			return fmt.Errorf("%w: %q is there twice", ErrCalibration, t.Query)
		case !finite(float64(t.Threshold)):
			return fmt.Errorf("%w: the threshold of %q is %v", ErrCalibration, t.Query, t.Threshold)
		}
		seen[t.Query] = true
	}
	return nil
}

// For returns the thresholds by query name, for scores that are made as asked.
//
// It fails with [ErrCalibration] and names the first difference if the models, the rank
// or the scoring differ, if c doesn't have a query, or if a query is made of other parts.
// A cosine depends only on its own query, so with that rank other queries and the
// background may differ. The other ranks depend on a softmax, so for them the queries
// must be the same, in any order, unless each was measured alone.
func (c Calibration) For(asked Scoring) (map[string]float32, error) {
	was := c.Scoring
	type difference struct {
		what      string
		was, asks any
		same      bool
	}
	softmax := asked.Rank != "cosine"
	together := softmax && asked.Scores == ""
	for _, d := range []difference{
		{"the region proposal network", was.Models.RPN, asked.Models.RPN, was.Models.RPN == asked.Models.RPN},
		{"CLIP's image tower", was.Models.Image, asked.Models.Image, was.Models.Image == asked.Models.Image},
		{"CLIP's text tower", was.Models.Text, asked.Models.Text, was.Models.Text == asked.Models.Text},
		{"the rank", was.Rank, asked.Rank, was.Rank == asked.Rank},
		{"the number of proposals", was.Proposals, asked.Proposals, was.Proposals == asked.Proposals},
		{"the crops", was.Crops, asked.Crops, slices.Equal(was.Crops, asked.Crops)},
		{"the templates", was.Templates, asked.Templates, slices.Equal(was.Templates, asked.Templates)},
		{"the background", was.Background, asked.Background, !softmax || slices.Equal(was.Background, asked.Background)},
		{"--scores", was.Scores, asked.Scores, !softmax || was.Scores == asked.Scores},
		{"--alike", was.Alike, asked.Alike, !together || was.Alike == asked.Alike},
		{"the subtraction of empty templates", was.SubtractEmpty, asked.SubtractEmpty, was.SubtractEmpty == asked.SubtractEmpty},
	} {
		if !d.same {
			return nil, fmt.Errorf("%w: it was made with another value of %s: %s, not %s; calibrate again",
				ErrCalibration, d.what, short(d.was), short(d.asks))
		}
	}
	thresholds := make(map[string]float32)
	for _, query := range asked.Queries {
		at := slices.IndexFunc(was.Queries, func(q Query) bool { return q.Name == query.Name })
		if at < 0 {
			return nil, fmt.Errorf("%w: it has no query %q; calibrate again with it", ErrCalibration, query.Name)
		}
		if !slices.Equal(query.Parts, was.Queries[at].Parts) {
			return nil, fmt.Errorf("%w: it was made with another query %q: %s, not %s; calibrate again",
				ErrCalibration, query.Name, short(was.Queries[at].Parts), short(query.Parts))
		}
		thresholds[query.Name] = c.Thresholds[at].Threshold
	}
	if together {
		for _, query := range was.Queries {
			if _, ok := thresholds[query.Name]; !ok {
				return nil, fmt.Errorf("%w: it was made with the query %q too, and probabilities depend on all; ask for it, or calibrate again without it",
					ErrCalibration, query.Name)
			}
		}
	}
	return thresholds, nil
}

// short returns the text of a value, cut after 60 runes.
func short(v any) string {
	const most = 60
	text := []rune(fmt.Sprintf("%v", v))
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}

package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/query"
)

// request is what to find and what to report of it, as JSON has it. Numbers are float64,
// since 2.0 is an integer in JSON Schema.
type request struct {
	Queries     []json.RawMessage  `json:"queries"`
	Threshold   *float64           `json:"threshold"`
	Thresholds  map[string]float64 `json:"thresholds"`
	TopK        *float64           `json:"top_k"`
	Best        *float64           `json:"best"`
	Rank        *string            `json:"rank"`
	Scores      *string            `json:"scores"`
	NMS         *float64           `json:"nms"`
	Agnostic    *bool              `json:"nms_agnostic"`
	SoftNMS     *float64           `json:"soft_nms"`
	BoxVoting   *float64           `json:"box_voting"`
	Contained   *float64           `json:"contained"`
	MinSize     *float64           `json:"min_size"`
	MaxSize     *float64           `json:"max_size"`
	Tile        json.RawMessage    `json:"tile"` // a number, or "auto"
	TileOverlap *float64           `json:"tile_overlap"`
	Boxes       *bool              `json:"boxes"`
}

// matchFields and detectFields are what the calls take, in a body and in the URL.
var (
	matchFields = []string{
		"queries", "threshold", "thresholds", "top_k", "best", "rank", "scores", "nms", "nms_agnostic", "soft_nms", "box_voting", "contained",
		"min_size", "max_size", "boxes",
	}
	detectFields = append(slices.Clone(matchFields), "tile", "tile_overlap")
)

// asked is a request that was checked.
type asked struct {
	queries []detect.Query
	params  detect.Params
	boxes   bool // the proposals are wanted too
	name    string
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRequest, fmt.Errorf(format, args...))
}

// fromJSON reads a request. It fails with ErrRequest, and with the errors of package
// query.
func fromJSON(data []byte, fields []string, limits Options) (asked, error) {
	var r request
	if err := readJSON(data, &r, fields); err != nil {
		return asked{}, err
	}
	a, err := r.check(limits)
	a.name = "-"
	return a, err
}

// readJSON reads an object that has no other than these fields.
func readJSON(data []byte, to any, fields []string) error {
	var names map[string]json.RawMessage
	if err := strict(data, &names); err != nil {
		return err
	}
	if names == nil {
		return wrong("the JSON is null, not an object")
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(fields, name) {
			return wrong("the JSON has a field %.80q; it may have %v", name, fields)
		}
		if string(names[name]) == "null" {
			return wrong("the field %q is null; leave it out", name)
		}
	}
	return strict(data, to)
}

// strict reads one JSON value and nothing after it.
func strict(data []byte, to any) error {
	if !utf8.Valid(data) { // it would be read as other text
		return wrong("the JSON is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(to); err != nil {
		if of := new(json.UnmarshalTypeError); errors.As(err, &of) && of.Field != "" {
			return wrong("%s is written as a %s; openapi.json says what it may be, and a number is written as 0.5", of.Field, of.Value)
		}
		return wrong("the JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return wrong("there is more after the JSON")
	}
	return nil
}

// fromURL reads a request from parameters. They are q in place of queries, and name.
func fromURL(text string, fields []string, limits Options) (asked, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return asked{}, wrong("the parameters: %w", err)
	}
	a := asked{name: "-"}
	object := make(map[string]json.RawMessage)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list := values[name]
		if slices.ContainsFunc(list, func(text string) bool { return !utf8.ValidString(text) }) {
			return a, wrong("%.80q is not UTF-8", name)
		}
		if name == "q" {
			object["queries"], err = json.Marshal(list)
			if err != nil {
				return a, wrong("q: %w", err)
			}
			continue
		}
		if len(list) > 1 {
			return a, wrong("%q is given %d times", name, len(list))
		}
		switch {
		case name == "name":
			if a.name = list[0]; a.name == "" || len(a.name) > maxText {
				return a, wrong("name is empty, or has more than %d bytes", maxText)
			}
		case name == "queries" || name == "thresholds" || !slices.Contains(fields, name):
			return a, wrong("there is no parameter %.80q; there are q, name and %v", name, slices.DeleteFunc(slices.Clone(fields), func(f string) bool {
				return f == "queries" || f == "thresholds"
			}))
		default:
			object[name] = parameter(name, list[0])
		}
	}
	data, err := json.Marshal(object)
	if err != nil {
		return a, wrong("the parameters: %w", err)
	}
	read, err := fromJSON(data, fields, limits)
	read.name = a.name
	return read, err
}

// words are the parameters that aren't numbers or truth values.
var words = []string{"rank", "scores"}

// parameter returns the JSON of a parameter's text: of a number or truth value as it is,
// and else of a string, which is then refused where it must be another.
func parameter(name, text string) json.RawMessage {
	var value any
	if !slices.Contains(words, name) && json.Unmarshal([]byte(text), &value) == nil {
		switch value.(type) {
		case float64, bool:
			return json.RawMessage(text)
		}
	}
	quoted, err := json.Marshal(text)
	if err != nil { // it is a string
		return json.RawMessage("null")
	}
	return quoted
}

// maxText is the number of bytes of a text that no model reads in full anyway.
const maxText = 4096

// check checks what the detector doesn't, and fills in the defaults.
func (r request) check(limits Options) (asked, error) {
	var a asked
	var err error
	if a.queries, err = parseQueries(r.Queries, limits); err != nil {
		return a, err
	}
	p := &a.params
	set(&a.boxes, r.Boxes)
	set(&p.Agnostic, r.Agnostic)
	set((*string)(&p.Rank), r.Rank)
	set((*string)(&p.Scores), r.Scores)
	for _, word := range []struct {
		name  string
		given *string
		known []string
	}{
		{"rank", r.Rank, []string{string(detect.RankFused), string(detect.RankMean), string(detect.RankProbability), string(detect.RankCosine)}},
		{"scores", r.Scores, []string{string(detect.ScoresTogether), string(detect.ScoresEach)}},
	} {
		if word.given != nil && !slices.Contains(word.known, *word.given) {
			return a, wrong("%s is %.40q; it may be one of %v", word.name, *word.given, word.known)
		}
	}
	threshold := detect.DefaultThreshold
	if p.Rank == detect.RankCosine {
		threshold = -1
	}
	const most = 1e6
	var topK, best float64
	for _, number := range []struct {
		name       string
		given      *float64
		to         *float64
		low, high  float64
		above, not bool // low or high itself isn't allowed
		whole      bool
	}{
		{name: "threshold", given: r.Threshold, to: &threshold, low: -1, high: 1},
		{name: "top_k", given: r.TopK, to: &topK, high: most, whole: true},
		{name: "best", given: r.Best, to: &best, high: most, whole: true},
		{name: "nms", given: r.NMS, to: &p.NMS, high: 1, above: true},
		{name: "soft_nms", given: r.SoftNMS, to: &p.SoftNMS, high: 1000},
		{name: "box_voting", given: r.BoxVoting, to: &p.BoxVoting, high: 1, not: true},
		{name: "contained", given: r.Contained, to: &p.Contained, high: 1},
		{name: "min_size", given: r.MinSize, to: &p.MinSize, high: most},
		{name: "max_size", given: r.MaxSize, to: &p.MaxSize, high: most},
		{name: "tile_overlap", given: r.TileOverlap, to: &p.TileOverlap, high: 0.8, above: true},
	} {
		if number.given == nil {
			continue
		}
		v := *number.given
		if !(v >= number.low && v <= number.high) || number.above && v == number.low || number.not && v == number.high || number.whole && v != math.Trunc(v) {
			return a, wrong("%s is %v; openapi.json says what it may be", number.name, v)
		}
		*number.to = v
	}
	p.Threshold, p.TopK, p.Best = float32(threshold), int(topK), int(best)
	if p.MaxSize > 0 && p.MaxSize < p.MinSize {
		return a, wrong("max_size is %v, below min_size, %v", p.MaxSize, p.MinSize)
	}
	if p.SoftNMS > 0 && p.Rank == detect.RankCosine {
		return a, wrong("soft_nms lowers scores that aren't negative; take another rank than cosine")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Thresholds)) {
		threshold := r.Thresholds[name]
		if !slices.ContainsFunc(a.queries, func(q detect.Query) bool { return q.Name == name }) {
			return a, wrong("there is a threshold for %.80q, which is no query", name)
		}
		if !(threshold >= -1 && threshold <= 1) {
			return a, wrong("the threshold of %.80q is %v, not -1 to 1", name, threshold)
		}
		if p.Thresholds == nil {
			p.Thresholds = make(map[string]float32)
		}
		p.Thresholds[name] = float32(threshold)
	}
	p.Tile, err = side(r.Tile)
	return a, err
}

func set[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

// side reads the side of tiles, in pixels.
func side(given json.RawMessage) (int, error) {
	if given == nil {
		return 0, nil
	}
	if string(given) == `"auto"` {
		return detect.TileAuto, nil
	}
	n, err := strconv.ParseFloat(string(given), 64)
	if err != nil || !(n >= 32 && n <= 1e6) || n != math.Trunc(n) {
		return 0, wrong("tile is %.40s; it is a side of 32 to 1000000 pixels, or auto", given)
	}
	return int(n), nil
}

// parseQueries reads queries: each a text as the command's -q has it, or an object.
func parseQueries(list []json.RawMessage, limits Options) ([]detect.Query, error) {
	if len(list) == 0 {
		return nil, wrong("there is nothing to find; name it with q, or with queries in JSON")
	}
	if len(list) > limits.Queries {
		return nil, fmt.Errorf("%w: %d queries, and %d are taken", detect.ErrLimit, len(list), limits.Queries)
	}
	var queries []detect.Query
	texts := 0
	for i, text := range list {
		q, err := parseQuery(text)
		if err != nil {
			return nil, fmt.Errorf("query %d: %w", i+1, err)
		}
		texts += max(1, len(q.Phrases)) + len(q.Negatives)
		if texts > limits.Phrases {
			return nil, fmt.Errorf("%w: the queries have more than %d texts", detect.ErrLimit, limits.Phrases)
		}
		queries = append(queries, q)
	}
	return queries, nil
}

func parseQuery(data json.RawMessage) (detect.Query, error) {
	if bytes.HasPrefix(data, []byte(`"`)) {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return detect.Query{}, wrong("%w", err)
		}
		if len(text) > maxText {
			return detect.Query{}, fmt.Errorf("%w: a text of %d bytes, and %d are taken", detect.ErrLimit, len(text), maxText)
		}
		q, err := query.Parse(text)
		if err != nil {
			return detect.Query{}, err
		}
		if len(q.Files) > 0 {
			return detect.Query{}, fmt.Errorf("%w: @%.80s is a file, and the service reads none", detect.ErrQuery, q.Files[0])
		}
		return q.Query, nil
	}
	var object struct {
		Name      string    `json:"name"`
		Phrases   []string  `json:"phrases"`
		Weights   []float32 `json:"weights"`
		Negatives []string  `json:"negatives"`
	}
	if err := readJSON(data, &object, []string{"name", "phrases", "weights", "negatives"}); err != nil {
		return detect.Query{}, err
	}
	for _, text := range slices.Concat([]string{object.Name}, object.Phrases, object.Negatives) {
		if len(text) > maxText {
			return detect.Query{}, fmt.Errorf("%w: a text of %d bytes, and %d are taken", detect.ErrLimit, len(text), maxText)
		}
	}
	return detect.Query{Name: object.Name, Phrases: object.Phrases, Weights: object.Weights, Negatives: object.Negatives}, nil
}

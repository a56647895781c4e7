package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
	"github.com/clipdet/clipdet/pkg/model"
)

// asks reads a body of JSON, and takes a place. The caller calls end.
func (h *Handler) asks(w http.ResponseWriter, r *http.Request, check func([]byte) error) (end func(), err error) {
	if r.URL.RawQuery != "" {
		return nil, wrong("there are no parameters; the body has what is asked")
	}
	body, err := h.openBody(w, r)
	if err != nil {
		return nil, err
	}
	defer body.release()
	data, err := jsonOf(r, body)
	if err != nil {
		return nil, err
	}
	if err := check(data); err != nil {
		return nil, err
	}
	came(w)
	if err := h.places.take(1); err != nil {
		return nil, err
	}
	return func() { h.places.giveBack(1) }, nil
}

// embed answers POST /v1/embed.
func (h *Handler) embed(w http.ResponseWriter, r *http.Request) error {
	var texts []string
	end, err := h.asks(w, r, func(data []byte) (err error) {
		texts, err = parseTexts(data, h.options)
		return err
	})
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := h.limited(r.Context())
	defer cancel()
	queries := make([]detect.Query, len(texts))
	for i, text := range texts {
		queries[i] = detect.Query{Name: strconv.Itoa(i + 1), Phrases: []string{text}}
	}
	made, err := h.detector.Queries(ctx, queries...)
	if err != nil {
		return err
	}
	defer made.Close()
	embeddings, err := made.Embeddings(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Width      int         `json:"width"`
		Embeddings [][]float32 `json:"embeddings"`
	}{len(embeddings[0]), embeddings})
}

func parseTexts(data []byte, limits Options) ([]string, error) {
	var asked struct {
		Texts []*string `json:"texts"`
	}
	if err := readJSON(data, &asked, []string{"texts"}); err != nil {
		return nil, err
	}
	if len(asked.Texts) == 0 {
		return nil, wrong("there are no texts")
	}
	if len(asked.Texts) > limits.Phrases {
		return nil, fmt.Errorf("%w: %d texts, and %d are taken", detect.ErrLimit, len(asked.Texts), limits.Phrases)
	}
	texts := make([]string, len(asked.Texts))
	for i, text := range asked.Texts {
		if text == nil || len(*text) > maxText {
			return nil, wrong("text %d is null, or has more than %d bytes", i+1, maxText)
		}
		texts[i] = *text
	}
	return texts, nil
}

// hitMemory is about what a hit takes, as a value, in the answer, and with the embeddings
// that are compared once more.
const hitMemory = 4 << 10

// search answers POST /v1/search.
func (h *Handler) search(w http.ResponseWriter, r *http.Request) error {
	if h.searched.index() == nil {
		return fmt.Errorf("%w: start it with one to search", ErrNoIndex)
	}
	var queries []detect.Query
	var params index.Params
	end, err := h.asks(w, r, func(data []byte) (err error) {
		queries, params, err = parseSearch(data, h.options)
		return err
	})
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := h.limited(r.Context())
	defer cancel()
	memory := min(hitMemory*int64(len(queries)*params.TopK), h.options.Memory)
	if err := h.pictures.Acquire(ctx, memory); err != nil {
		return context.Cause(ctx)
	}
	defer h.pictures.Release(memory)
	embedded, err := h.asked.get(ctx, h.detector, queries)
	if err != nil {
		return err
	}
	defer h.asked.release(embedded)
	hits, err := h.searched.search(ctx, h.detector, embedded.Queries, params)
	if err != nil {
		return err
	}
	type found struct {
		Query string      `json:"query"`
		Hits  []index.Hit `json:"hits"`
	}
	all := make([]found, len(hits))
	for i, list := range hits {
		if list == nil {
			list = []index.Hit{}
		}
		all[i] = found{queries[i].Name, list}
	}
	return writeJSON(w, http.StatusOK, struct {
		Results []found `json:"results"`
	}{all})
}

func parseSearch(data []byte, limits Options) ([]detect.Query, index.Params, error) {
	var asked struct {
		Queries    []json.RawMessage `json:"queries"`
		TopK       *float64          `json:"top_k"`
		PerPicture bool              `json:"per_picture"`
		Rank       *string           `json:"rank"`
		Threshold  float64           `json:"threshold"`
		MinSize    float64           `json:"min_size"`
		Path       string            `json:"path"`
	}
	params := index.Params{TopK: index.DefaultTopK}
	err := readJSON(data, &asked, []string{"queries", "top_k", "per_picture", "rank", "threshold", "min_size", "path"})
	if err != nil {
		return nil, params, err
	}
	if k := asked.TopK; k != nil {
		if !(*k >= 1 && *k <= 10_000) || *k != math.Trunc(*k) {
			return nil, params, wrong("top_k is %v; it is 1 to 10000", *k)
		}
		params.TopK = int(*k)
	}
	if asked.Rank != nil {
		switch params.Rank = detect.Rank(*asked.Rank); params.Rank {
		case detect.RankFused, detect.RankMean, detect.RankProbability, detect.RankCosine:
		default:
			return nil, params, wrong("rank is %.40q; write fused, mean, probability or cosine", *asked.Rank)
		}
	}
	if !(asked.Threshold >= -1 && asked.Threshold <= 1) || !(asked.MinSize >= 0 && asked.MinSize <= 1e6) || len(asked.Path) > maxText {
		return nil, params, wrong("threshold, min_size or path is out of range; openapi.json says what they may be")
	}
	params.PerPicture, params.Threshold, params.MinSize, params.Path = asked.PerPicture, float32(asked.Threshold), asked.MinSize, asked.Path
	queries, err := parseQueries(asked.Queries, limits)
	if hits := len(queries) * params.TopK; hits > limits.Hits {
		return nil, params, fmt.Errorf("%w: %d hits of %d queries are %d, and %d are answered; ask for less of each, or in several requests",
			detect.ErrLimit, params.TopK, len(queries), hits, limits.Hits)
	}
	return queries, params, err
}

// modelsAnswer is what the service is.
type modelsAnswer struct {
	Device string           `json:"device"`
	DType  string           `json:"dtype"`
	Models []model.Manifest `json:"models"` // without paths, which are the host's
	Limits limitsAnswer     `json:"limits"`
	Index  *indexAnswer     `json:"index"`
}

type limitsAnswer struct {
	Bytes    int64   `json:"bytes"`
	Pixels   int64   `json:"pixels"`
	Pictures int     `json:"pictures"`
	Queries  int     `json:"queries"`
	Hits     int     `json:"hits"`
	Seconds  float64 `json:"seconds"`
	Queue    int     `json:"queue"`
}

type indexAnswer struct {
	Pictures int64 `json:"pictures"`
	Regions  int64 `json:"regions"`
}

// models answers GET /v1/models.
func (h *Handler) models(w http.ResponseWriter, _ *http.Request) error {
	info, o := h.detector.Info(), h.options
	a := modelsAnswer{
		Device: info.Device, DType: info.DType.Type,
		Models: []model.Manifest{info.RPN.Manifest, info.Image.Manifest, info.Text.Manifest},
		Limits: limitsAnswer{o.Bytes, o.Pixels, o.Pictures, o.Queries, o.Hits, o.Time.Seconds(), o.Queue},
	}
	if ix := h.searched.index(); ix != nil {
		stats := ix.Stats()
		a.Index = &indexAnswer{stats.Pictures, stats.Regions}
	}
	return writeJSON(w, http.StatusOK, a)
}

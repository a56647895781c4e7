package detect

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// TestMatchEqualsItsDefinition compares Match with its definition in plain Go: embed each
// phrase, average, score, sort, suppress.
func TestMatchEqualsItsDefinition(t *testing.T) {
	d := open(t, Options{Background: []string{"nothing", "a texture"}})
	list := []Query{
		{Name: "dog"},
		{Name: "bike", Phrases: []string{"a bicycle", "a mountain bike"}},
		{Name: "cup", Phrases: []string{"a cup"}},
	}
	q, err := d.Queries(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	regions, err := d.Regions(t.Context(), scene(9, 200, 160))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	if len(regions.boxes) < 10 {
		t.Fatalf("only %d proposals: too few to test the order", len(regions.boxes))
	}
	var boxes [][]float64
	if err := d.engine.Do(t.Context(), func(s *torch.Scope) error {
		boxes = matrix(torch.Download[float32](s, s.Use(regions.embeddings)), len(regions.boxes))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var classes [][]float64
	phrases := make([][][]float64, len(list))
	for i, query := range list {
		texts, err := query.Phrasings(d.options.Templates)
		if err != nil {
			t.Fatal(err)
		}
		phrases[i] = embed(t, d, texts)
		classes = append(classes, unit(mean(phrases[i])))
	}
	classes = append(classes, embed(t, d, []string{"nothing", "a texture"})...)

	result, err := regions.Match(t.Context(), q, Params{})
	if err != nil {
		t.Fatal(err)
	}
	scale := d.files.Image.Manifest.LogitScale
	for i, query := range list {
		var want []Detection
		for k, e := range boxes {
			total := 0.0
			for _, c := range classes {
				total += math.Exp(scale * dot(e, c))
			}
			p := math.Exp(scale*dot(e, classes[i])) / total
			runner, nearest := -1, 0
			for j := range list {
				if j != i && (runner < 0 || dot(e, classes[j]) > dot(e, classes[runner])) {
					runner = j
				}
			}
			for j := range phrases[i] {
				if dot(e, phrases[i][j]) > dot(e, phrases[i][nearest]) {
					nearest = j
				}
			}
			proposal := regions.Proposals()[k]
			want = append(want, Detection{
				Query: query.Name, Box: proposal.Box, Objectness: proposal.Objectness,
				Cosine: float32(dot(e, classes[i])), Probability: float32(p),
				Score:    float32(math.Sqrt(p * float64(proposal.Objectness))),
				RunnerUp: list[runner].Name, Phrase: q.phrases[i][nearest],
			})
		}
		sort.SliceStable(want, func(a, b int) bool { return want[a].Score > want[b].Score })
		var kept []Detection
		for _, w := range want {
			free := true
			for _, k := range kept {
				free = free && k.Box.IoU(w.Box) <= DefaultNMS
			}
			if free {
				kept = append(kept, w)
			}
		}
		compare(t, query.Name, result.Detections, kept)
	}
}

// TestBoxesTimesQueriesAreBounded checks the bound on boxes times queries. Neither has
// embeddings, so a call within the bound fails with another error.
func TestBoxesTimesQueriesAreBounded(t *testing.T) {
	d := open(t, Options{})
	const boxes = 1000
	r := &Regions{detector: d, width: 60, height: 40, boxes: make([]box.Box, boxes)}
	for _, test := range []struct {
		queries int
		limited bool
	}{{1, false}, {maxCandidates / boxes, false}, {maxCandidates/boxes + 1, true}} {
		_, err := r.Match(t.Context(), &Queries{detector: d, names: make([]string, test.queries)}, Params{})
		if err == nil || errors.Is(err, ErrLimit) != test.limited {
			t.Errorf("%d boxes times %d queries: got %v, want ErrLimit: %t", boxes, test.queries, err, test.limited)
		}
	}
}

// TestBoxesAreBounded checks the bound on the boxes of a picture. All boxes are the same,
// so that CLIP embeds one crop only.
func TestBoxesAreBounded(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	boxes := make([]box.Box, maxBoxes+1)
	for i := range boxes {
		boxes[i] = box.Box{X1: 9, Y1: 9}
	}
	if _, err := d.Regions(t.Context(), with(scene(1, 60, 40), boxes...)); !errors.Is(err, ErrLimit) {
		t.Errorf("%d boxes: got %v, want ErrLimit", len(boxes), err)
	}
	r, err := d.Regions(t.Context(), with(scene(1, 60, 40), boxes[1:]...))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Match(t.Context(), q, Params{})
	if err != nil || len(got.Detections) != 1 {
		t.Errorf("%d boxes in one place: %v, want one detection", maxBoxes, err)
	}
}

// TestSuppressionLooksAtItsContext checks that each part of suppression asks its context
// before each query, since all queries together may take hours.
func TestSuppressionLooksAtItsContext(t *testing.T) {
	boxes := make([]box.Box, 20)
	list := make([]candidate, len(boxes))
	for i := range list {
		boxes[i] = box.Box{X1: float32(i + 1), Y1: 9}
		list[i] = candidate{proposal: int32(i), score: 0.5}
	}
	lists, thresholds := [][]candidate{list, list, list}, make([]float32, 3)
	for _, test := range []struct {
		name   string
		params Params
		parts  int
	}{
		{"NMS", Params{NMS: 0.5}, 1},
		{"soft NMS", Params{SoftNMS: 0.5}, 1},
		{"contained, then NMS", Params{NMS: 0.5, Contained: 0.9}, 2},
		{"voting", Params{NMS: 1, BoxVoting: 0.5}, 2},
	} {
		test.params.MaxDetections = 1000
		want := len(lists) * test.parts
		for n := range want {
			if _, _, err := chooseAmong(endAfter(int64(n)), boxes, lists, matching{Params: test.params, thresholds: thresholds}); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, ended after %d of %d steps: got %v, want Canceled", test.name, n, want, err)
			}
		}
		if _, _, err := chooseAmong(endAfter(int64(want)), boxes, lists, matching{Params: test.params, thresholds: thresholds}); err != nil {
			t.Errorf("%s, with %d steps: %v", test.name, want, err)
		}
	}
}

// TestBestOfAllQueries checks that Params.Best leaves those that are the first of all
// without it, with many equal scores, and that each query's count stays.
func TestBestOfAllQueries(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	boxes := make([]box.Box, 40)
	for i := range boxes {
		x, y := 100*rng.Float32(), 100*rng.Float32()
		boxes[i] = box.Box{X0: x, Y0: y, X1: x + 30, Y1: y + 30}
	}
	lists := make([][]candidate, 50)
	for q := range lists {
		for i := range boxes {
			lists[q] = append(lists[q], candidate{query: int32(q), proposal: int32(i), score: float32(rng.IntN(20)) / 20})
		}
		slices.SortStableFunc(lists[q], func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	}
	byScore := func(a, b survivor) int { return cmp.Compare(b.score, a.score) }
	for _, params := range []Params{{NMS: 1}, {NMS: 0.3}, {NMS: 1, SoftNMS: 0.5}, {NMS: 0.3, Agnostic: true}, {NMS: 0.3, BoxVoting: 0.5}, {NMS: 0.3, TopK: 3}} {
		params.MaxDetections = 10_000
		m := matching{Params: params, thresholds: make([]float32, len(lists))}
		all, counts, err := chooseAmong(t.Context(), boxes, lists, m)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortStableFunc(all, byScore)
		for _, most := range []int{1, 7, 100, len(all), len(all) + 1} {
			m.Best = most
			got, same, err := chooseAmong(t.Context(), boxes, lists, m)
			slices.SortStableFunc(got, byScore)
			if want := all[:min(most, len(all))]; err != nil || !slices.Equal(got, want) {
				t.Errorf("%+v: %d survivors, %v; want the first %d of all", m.Params, len(got), err, len(want))
			}
			if !slices.Equal(same, counts) {
				t.Errorf("%+v: the queries' counts changed", m.Params)
			}
			m.MaxDetections = len(got)
			bound, _, err := chooseAmong(t.Context(), boxes, lists, m)
			slices.SortStableFunc(bound, byScore)
			if err != nil || !slices.Equal(bound, got) {
				t.Errorf("%+v: %d survivors, %v; want as many as are allowed", m.Params, len(bound), err)
			}
			m.MaxDetections = len(got) - 1
			if _, _, err := chooseAmong(t.Context(), boxes, lists, m); !errors.Is(err, ErrLimit) {
				t.Errorf("%+v: %v, want ErrLimit", m.Params, err)
			}
			m.MaxDetections = params.MaxDetections
		}
	}
}

func compare(t *testing.T, query string, detections, want []Detection) {
	t.Helper()
	var got []Detection
	for _, f := range detections {
		if f.Query == query {
			got = append(got, f)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d detections, want %d", query, len(got), len(want))
		return
	}
	near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-4 }
	byBox := map[box.Box]Detection{}
	for _, w := range want {
		byBox[w.Box] = w
	}
	for i, g := range got {
		// Equal scores may change places; each box must have its own values.
		w, ok := byBox[g.Box]
		if !ok || !near(g.Score, want[i].Score) || !near(g.Cosine, w.Cosine) || !near(g.Probability, w.Probability) ||
			g.RunnerUp != w.RunnerUp || g.Phrase != w.Phrase {
			t.Errorf("%s, detection %d: got %+v, want %+v", query, i, g, w)
		}
	}
}

func embed(t *testing.T, d *Detector, texts []string) (rows [][]float64) {
	t.Helper()
	var tokens []int64
	for _, text := range texts {
		ids, err := d.tokenizer.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, ids...)
	}
	if err := d.engine.Do(t.Context(), func(s *torch.Scope) error {
		whole := torch.Upload(s, tokens, int64(len(texts)), int64(len(tokens)/len(texts)))
		rows = matrix(torch.Download[float32](s, d.text.Encode(s, whole)), len(texts))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

func matrix(values []float32, rows int) [][]float64 {
	out := make([][]float64, rows)
	for i := range out {
		for _, v := range values[i*len(values)/rows : (i+1)*len(values)/rows] {
			out[i] = append(out[i], float64(v))
		}
	}
	return out
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func mean(rows [][]float64) []float64 {
	out := make([]float64, len(rows[0]))
	for _, row := range rows {
		for i, v := range row {
			out[i] += v / float64(len(rows))
		}
	}
	return out
}

func unit(v []float64) []float64 {
	length := math.Sqrt(dot(v, v))
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] / length
	}
	return out
}

// TestSizes asks for boxes of some sizes, and for the best of them.
func TestSizes(t *testing.T) {
	d := open(t, Options{})
	given := []box.Box{{X1: 10, Y1: 10}, {X1: 10, Y1: 50}, {X1: 40, Y1: 40}, {X1: 100, Y1: 60}}
	regions, err := d.Regions(t.Context(), with(scene(3, 100, 60), given...))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	q, err := d.Queries(t.Context(), Query{Name: "cup"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		least, most float64
		want        []int // places in given
	}{
		{0, 0, []int{0, 1, 2, 3}}, {10, 0, []int{0, 1, 2, 3}}, {10.5, 0, []int{2, 3}}, {0, 50, []int{0, 1, 2}}, {0, 49, []int{0, 2}}, {40, 40, []int{2}}, {41, 50, nil},
	} {
		for _, topK := range []int{0, 1} {
			result, err := regions.Match(t.Context(), q, Params{NMS: 1, MinSize: test.least, MaxSize: test.most, TopK: topK})
			if err != nil {
				t.Fatal(err)
			}
			want := len(test.want)
			if topK > 0 {
				want = min(want, topK)
			}
			if len(result.Detections) != want || result.Presence[0].Present != (want > 0) {
				t.Errorf("%v to %v, top %d: %d boxes, present %v; want %d", test.least, test.most, topK, len(result.Detections), result.Presence[0].Present, want)
			}
			for _, f := range result.Detections {
				if !slices.Contains(test.want, slices.Index(given, f.Box)) {
					t.Errorf("%v to %v: found %v", test.least, test.most, f.Box)
				}
			}
		}
	}
	for _, p := range []Params{{MinSize: -1}, {MaxSize: math.NaN()}} {
		if _, err := regions.Match(t.Context(), q, p); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v, want ErrOption", p, err)
		}
	}
}

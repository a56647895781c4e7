package detect

import (
	"errors"
	"fmt"
	"image"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/suppress"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// see embeds boxes of a picture, each view alone, and averages the views in plain Go.
func see(t *testing.T, d *Detector, img image.Image, boxes []box.Box) [][]float64 {
	t.Helper()
	picture, err := pixels.FromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	views := make([][][]float64, len(boxes))
	for _, view := range d.options.Crops {
		rects := view.rects(boxes, picture.Width, picture.Height)
		if err := d.engine.Do(t.Context(), func(s *torch.Scope) error {
			manifest := d.files.Image.Manifest
			crops := crop.Crops(s, crop.Upload(s, picture), rects, view.mode(manifest), manifest.InputSize, manifest.Mean)
			for i, row := range matrix(torch.Download[float32](s, d.image.Encode(s, crops)), len(boxes)) {
				views[i] = append(views[i], row)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var rows [][]float64
	for _, v := range views {
		rows = append(rows, unit(mean(v)))
	}
	return rows
}

// scores returns cosine and probability by query and box, by their definition in plain
// Go, and the number of pairs of queries that are alike.
func scores(t *testing.T, d *Detector, list []Query, boxes [][]float64, measured Scores) (cosine, probability [][]float64, pairs int) {
	t.Helper()
	shared := make([]float64, len(boxes[0]))
	if d.options.SubtractEmpty {
		empty, err := prompt.Fill("", d.options.Templates)
		if err != nil {
			t.Fatal(err)
		}
		shared = mean(embed(t, d, empty))
	}
	alone := func(texts []string) (rows [][]float64) {
		if len(texts) == 0 {
			return nil
		}
		for _, row := range embed(t, d, texts) {
			rows = append(rows, unit(plus(row, shared, -1)))
		}
		return rows
	}
	var classes, background [][]float64
	for _, query := range list {
		texts, err := query.Phrasings(d.options.Templates)
		if err != nil {
			t.Fatal(err)
		}
		sum, total, words := make([]float64, len(shared)), 0.0, 0.0
		if len(texts) > 0 {
			for i, row := range embed(t, d, texts) {
				w := 1.0
				if query.Weights != nil {
					w = float64(query.Weights[i])
				}
				sum, total, words = plus(sum, row, w), total+w, words+w
			}
		}
		for _, e := range query.Examples {
			b := box.Box{X1: float32(e.Image.Bounds().Dx()), Y1: float32(e.Image.Bounds().Dy())}
			if e.Box != nil {
				b = *e.Box
			}
			w := float64(e.Weight)
			if w == 0 {
				w = 1
			}
			sum, total = plus(sum, see(t, d, e.Image, []box.Box{b})[0], w), total+w
		}
		// This is the unit of sum/total - shared words/total.
		classes = append(classes, unit(plus(sum, shared, -words)))
	}
	background = alone(d.options.Background)
	scale := d.files.Image.Manifest.LogitScale
	common := make([]float64, len(shared))
	if len(background) > 0 {
		common = mean(background)
	}
	alike := func(i, j int) bool {
		return d.options.Alike < 1 && dot(unit(plus(classes[i], common, -1)), unit(plus(classes[j], common, -1))) > d.options.Alike
	}
	likes := make([]int, len(list)) // of each query
	for i := range list {
		for j := range list {
			if i != j && alike(i, j) {
				likes[i]++
				pairs++
			}
		}
	}
	for i, query := range list {
		negatives := alone(query.Negatives)
		var cosines, probabilities []float64
		for _, e := range boxes {
			total := math.Exp(scale * dot(e, classes[i]))
			for j, c := range classes {
				if measured == ScoresTogether && j != i && !alike(i, j) {
					total += math.Exp(scale*dot(e, c)) / float64(1+likes[j])
				}
			}
			for _, c := range slices.Concat(background, negatives) {
				total += math.Exp(scale * dot(e, c))
			}
			cosines = append(cosines, dot(e, classes[i]))
			probabilities = append(probabilities, math.Exp(scale*dot(e, classes[i]))/total)
		}
		cosine, probability = append(cosine, cosines), append(probability, probabilities)
	}
	return cosine, probability, pairs / 2
}

func plus(a, b []float64, factor float64) []float64 {
	out := slices.Clone(a)
	for i := range out {
		out[i] += factor * b[i]
	}
	return out
}

func TestScoresEqualTheirDefinition(t *testing.T) {
	words := []Query{{Name: "dog"}, {Name: "bike", Phrases: []string{"a bicycle", "a mountain bike"}}, {Name: "cup"}}
	shown := []Query{
		{Name: "dog", Examples: []Example{{Image: scene(3, 50, 40)}, {Image: scene(4, 60, 60), Box: &box.Box{X0: 5, Y0: 5, X1: 30, Y1: 41}, Weight: 3}}},
		{Name: "bike", Phrases: []string{"a bicycle", "a mountain bike"}, Weights: []float32{2, 0.5},
			Examples: []Example{{Image: scene(5, 30, 40), Name: "bike.png"}}, Negatives: []string{"a wheel"}},
		{Name: "cup"},
	}
	alike := []Query{{Name: "owl"}, {Name: "cup", Negatives: []string{"a glass"}}, {Name: "Owl", Negatives: []string{"an eagle"}}, {Name: "OWL"}, {Name: "traffic_light"}, {Name: "traffic light"}}
	for _, test := range []struct {
		name    string
		options Options
		queries []Query
	}{
		{"two views", Options{Crops: []Crop{{}, {Mode: CropPad, Context: 1.5}}}, words},
		{"no background", Options{Background: []string{}}, words},
		{"many templates", Options{Templates: prompt.ManyTemplates()}, words[:1]},
		{"less what empty templates have", Options{SubtractEmpty: true}, words},
		{"weights", Options{}, []Query{words[0], {Name: "bike", Phrases: []string{"a", "b", "c"}, Weights: []float32{1, 5, 0.1}}}},
		{"negatives", Options{}, []Query{{Name: "orange", Negatives: []string{"the colour orange", "juice"}}, words[0], {Name: "cup", Negatives: []string{"a glass"}}}},
		{"examples", Options{}, shown},
		{"examples alone", Options{Background: []string{}}, shown[:1]},
		{"everything", Options{Crops: []Crop{{}, {Context: 2}, {Mode: CropSquash}}, SubtractEmpty: true, Templates: prompt.BareName(), Batch: 3}, shown},
		{"everything, cached", Options{SubtractEmpty: true, TextCache: t.TempDir()}, shown},
		{"a plain softmax", Options{Alike: 1}, words},
		{"like queries", Options{}, alike},
		{"many are alike", Options{Alike: 0.5}, alike},
		{"like queries without a background", Options{Background: []string{}, Alike: 0.99}, alike},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.Proposals = 40
			d := open(t, test.options)
			img := scene(9, 200, 160)
			q, err := d.Queries(t.Context(), test.queries...)
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			regions, err := d.Regions(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			defer regions.Close()
			seen := see(t, d, img, regions.boxes)
			cosine, together, pairs := scores(t, d, test.queries, seen, ScoresTogether)
			_, each, _ := scores(t, d, test.queries, seen, ScoresEach)
			if len(q.Alike()) != pairs {
				t.Errorf("%d pairs are alike: %+v; want %d", len(q.Alike()), q.Alike(), pairs)
			}
			place := map[box.Box]int{}
			for k, b := range regions.boxes {
				place[b] = k
			}
			type way struct {
				rank   Rank
				scores Scores
			}
			var ways []way
			for _, rank := range ranks {
				ways = append(ways, way{rank, ScoresTogether})
				if len(d.options.Background) > 0 {
					ways = append(ways, way{rank, ScoresEach})
				}
			}
			for _, way := range ways {
				rank, probability := way.rank, together
				if way.scores == ScoresEach {
					probability = each
				}
				result, err := regions.Match(t.Context(), q, Params{NMS: 1, Rank: rank, Scores: way.scores})
				if err != nil {
					t.Fatal(err)
				}
				if want := len(test.queries) * len(regions.boxes); len(result.Detections) != want {
					t.Fatalf("%s: %d detections, want %d", rank, len(result.Detections), want)
				}
				for _, f := range result.Detections {
					i := slices.Index(q.names, f.Query)
					k := place[f.Box]
					c, p, o := cosine[i][k], probability[i][k], float64(f.Objectness)
					want := map[Rank]float64{RankFused: math.Sqrt(p * o), RankMean: (p + o) / 2, RankProbability: p, RankCosine: c}[rank]
					for _, pair := range [][2]float64{{float64(f.Cosine), c}, {float64(f.Probability), p}, {float64(f.Score), want}} {
						if math.Abs(pair[0]-pair[1]) > 2e-4 {
							t.Fatalf("%v: %+v; want cosine %v, probability %v, score %v", way, f, c, p, want)
						}
					}
					if !slices.Contains(q.phrases[i], f.Phrase) {
						t.Errorf("%+v has a phrase of none of %q", f, q.phrases[i])
					}
				}
			}
		})
	}
}

// TestAnExampleIsNamed checks that the picture of an example is nearest to that example.
func TestAnExampleIsNamed(t *testing.T) {
	d := open(t, Options{Proposals: 30})
	img := scene(9, 200, 160)
	regions, err := d.Regions(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	b := regions.boxes[3]
	q, err := d.Queries(t.Context(), Query{Name: "x", Phrases: []string{"a thing"}, Examples: []Example{{Image: img, Box: &b, Name: "x.png"}, {Image: scene(1, 20, 20)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	result, err := regions.Match(t.Context(), q, Params{NMS: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range result.Detections {
		if f.Box == b && f.Phrase != "@x.png" {
			t.Errorf("the nearest phrase of the example's own box is %q", f.Phrase)
		}
	}
	if want := []string{"a thing", "@x.png", "@2"}; !slices.Equal(q.phrases[0], want) {
		t.Errorf("the phrases are %q, want %q", q.phrases[0], want)
	}
}

func TestExampleErrors(t *testing.T) {
	d := open(t, Options{})
	img := scene(1, 20, 20)
	for _, test := range []struct {
		name  string
		query Query
		want  error
	}{
		{"a box outside", Query{Name: "x", Examples: []Example{{Image: img, Box: &box.Box{X0: 20, Y0: 0, X1: 30, Y1: 5}}}}, ErrQuery},
		{"a box inside out", Query{Name: "x", Examples: []Example{{Image: img, Box: &box.Box{X0: 9, Y0: 0, X1: 3, Y1: 5}}}}, ErrQuery},
		{"a negative weight", Query{Name: "x", Examples: []Example{{Image: img, Weight: -1}}}, ErrQuery},
		{"weights for others", Query{Name: "x", Phrases: []string{"y"}, Weights: []float32{1, 2}}, ErrQuery},
		{"no picture", Query{Name: "x", Examples: []Example{{}}}, nil},
	} {
		q, err := d.Queries(t.Context(), test.query)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || q != nil {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

// TestManyNegativesTakeLittleMemory has as many negative phrases as the limits allow. A
// tensor [K,Q,N] takes 300 MB. The queries differ by their first negative phrase only,
// and 7 of these differ.
func TestManyNegativesTakeLittleMemory(t *testing.T) {
	d := open(t, Options{})
	list, boxes := make([]Query, 250), make([]box.Box, 300)
	for i := range list {
		negatives := slices.Repeat([]string{"a cat"}, 999)
		negatives[0] = fmt.Sprint("number ", i%7)
		list[i] = Query{Name: fmt.Sprint(i), Phrases: []string{"a dog"}, Negatives: negatives}
	}
	for i := range boxes {
		boxes[i] = box.Box{X1: float32(1 + i%5), Y1: 9}
	}
	q, err := d.Queries(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	regions, err := d.Regions(t.Context(), with(scene(1, 60, 40), boxes...))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	var got *Result
	grown := torchtest.PeakGrowth(t, func() {
		if got, err = regions.Match(t.Context(), q, Params{Rank: RankProbability, TopK: 1}); err != nil {
			t.Fatal(err)
		}
	})
	if grown > 800_000 {
		t.Errorf("matching took %d KB, want far less than 1,500,000", grown)
	}
	for i, p := range got.Presence {
		if want := got.Presence[i%7].Score; math.Abs(float64(p.Score-want)) > 1e-6*float64(want) || i > 0 && i < 7 && p.Score == got.Presence[0].Score {
			t.Errorf("query %d has the score %v, and %d with the same negatives %v", i, p.Score, i%7, want)
		}
	}
}

// TestQueriesWithoutADirection subtracts the only template from a text that is that
// template filled with nothing.
func TestQueriesWithoutADirection(t *testing.T) {
	const empty = "a photo of ."
	for _, test := range []struct {
		name       string
		background []string
		query      Query
		says       string
	}{
		{"a phrase", []string{"a wall"}, Query{Name: "x", Phrases: []string{empty}}, `"x"`},
		{"a negative phrase", []string{"a wall"}, Query{Name: "x", Negatives: []string{"a cat", empty}}, `negative phrase of "x"`},
		{"the background", []string{"a wall", empty}, Query{Name: "x"}, "phrase 2 of the background"},
	} {
		d := open(t, Options{SubtractEmpty: true, Templates: []string{"a photo of {}."}, Background: test.background})
		q, err := d.Queries(t.Context(), Query{Name: "dog", Negatives: []string{"a wolf"}}, test.query)
		if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), test.says) || q != nil {
			t.Errorf("%s: got %v, want ErrQuery that says %s", test.name, err, test.says)
		}
		if len(test.background) == 1 {
			queries(t, d, "dog", "cat")
		}
	}
}

// TestSuppressionEqualsItsDefinition compares suppression with its definition in plain
// Go, applied to the result of Match without suppression.
func TestSuppressionEqualsItsDefinition(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog", "cat", "cup")
	regions, err := d.Regions(t.Context(), scene(9, 200, 160))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	match := func(params Params) []Detection {
		result, err := regions.Match(t.Context(), q, params)
		if err != nil {
			t.Fatal(err)
		}
		return result.Detections
	}
	const threshold = 0.3
	all := match(Params{NMS: 1, Threshold: threshold})
	if len(all) < 30 {
		t.Fatalf("only %d candidates", len(all))
	}
	// walk keeps, best first, the detections that no kept one drops.
	walk := func(list []Detection, drops func(kept, d Detection) bool) (kept []Detection) {
		for _, d := range list {
			if !slices.ContainsFunc(kept, func(k Detection) bool { return drops(k, d) }) {
				kept = append(kept, d)
			}
		}
		return kept
	}
	inside := func(k, d Detection) bool {
		return k.Query == d.Query && k.Box.Intersect(d.Box).Area() > 0.8*d.Box.Area()
	}
	near := func(iou float64) func(k, d Detection) bool {
		return func(k, d Detection) bool { return k.Query == d.Query && k.Box.IoU(d.Box) > iou }
	}
	anyNear := func(k, d Detection) bool { return k.Box == d.Box || k.Box.IoU(d.Box) > 0.5 }
	soft := func(list []Detection, agnostic bool) (kept []Detection) {
		list = slices.Clone(list)
		for len(list) > 0 {
			sort.SliceStable(list, func(a, b int) bool { return list[a].Score > list[b].Score })
			best := list[0]
			kept, list = append(kept, best), list[1:]
			for i, d := range list {
				if iou := best.Box.IoU(d.Box); agnostic || d.Query == best.Query {
					list[i].Score *= float32(math.Exp(-iou * iou / 0.5))
				}
			}
		}
		return slices.DeleteFunc(kept, func(d Detection) bool { return d.Score < threshold })
	}
	vote := func(kept []Detection) []Detection {
		kept = slices.Clone(kept)
		for i, k := range kept {
			var voters []box.Box
			var scores []float32
			for _, d := range all {
				if d.Query == k.Query {
					voters, scores = append(voters, d.Box), append(scores, d.Score)
				}
			}
			kept[i].Box = suppress.Vote(k.Box, voters, scores, 0.5)
		}
		return kept
	}
	firstOfBox := func(list []Detection) []Detection {
		return walk(list, func(k, d Detection) bool { return k.Box == d.Box })
	}
	best := func(n int, list []Detection) (kept []Detection) {
		counts := map[string]int{}
		for _, d := range list {
			if counts[d.Query]++; counts[d.Query] <= n {
				kept = append(kept, d)
			}
		}
		return kept
	}
	for _, test := range []struct {
		name   string
		params Params
		want   []Detection
	}{
		{"NMS", Params{}, walk(all, near(0.5))},
		{"agnostic", Params{Agnostic: true}, walk(all, anyNear)},
		{"agnostic without NMS", Params{Agnostic: true, NMS: 1}, firstOfBox(all)},
		{"agnostic, the best two", Params{Agnostic: true, TopK: 2}, best(2, walk(all, anyNear))},
		{"soft", Params{SoftNMS: 0.5}, soft(all, false)},
		{"soft, the best two", Params{SoftNMS: 0.5, TopK: 2}, best(2, soft(all, false))},
		{"soft and agnostic", Params{SoftNMS: 0.5, Agnostic: true}, soft(firstOfBox(all), true)},
		{"voting", Params{BoxVoting: 0.5}, vote(walk(all, near(0.5)))},
		{"voting without NMS, the best", Params{BoxVoting: 0.5, NMS: 1, TopK: 1}, vote(best(1, all))},
		{"contained", Params{Contained: 0.8}, walk(walk(all, inside), near(0.5))},
		{"contained without NMS, the best two", Params{Contained: 0.8, NMS: 1, TopK: 2}, best(2, walk(all, inside))},
		{"contained and soft", Params{Contained: 0.8, SoftNMS: 0.5}, soft(walk(all, inside), false)},
		{"a share of 1 drops none", Params{Contained: 1, NMS: 1}, all},
	} {
		params := test.params
		params.Threshold = threshold
		got := match(params)
		if len(got) != len(test.want) {
			t.Errorf("%s: %d detections, want %d", test.name, len(got), len(test.want))
			continue
		}
		sort.SliceStable(test.want, func(a, b int) bool { return test.want[a].Score > test.want[b].Score })
		for i, g := range got {
			// Of equal scores either may be first.
			if !slices.ContainsFunc(test.want, func(w Detection) bool { return same(g, w) }) || math.Abs(float64(g.Score-test.want[i].Score)) > 1e-5 {
				t.Errorf("%s, detection %d: got %+v, want %+v", test.name, i, g, test.want[i])
			}
		}
	}
}

// same reports whether two detections differ at most by rounding.
func same(a, b Detection) bool {
	near := func(x, y float32, tolerance float64) bool { return math.Abs(float64(x-y)) <= tolerance }
	equal := near(a.Score, b.Score, 1e-5) && near(a.Box.X0, b.Box.X0, 1e-3) && near(a.Box.Y0, b.Box.Y0, 1e-3) &&
		near(a.Box.X1, b.Box.X1, 1e-3) && near(a.Box.Y1, b.Box.Y1, 1e-3)
	a.Score, a.Box = b.Score, b.Box
	return equal && a == b
}

func TestThresholdsAndPresence(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog", "cat", "cup")
	regions, err := d.Regions(t.Context(), scene(9, 200, 160))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	all, err := regions.Match(t.Context(), q, Params{NMS: 1})
	if err != nil {
		t.Fatal(err)
	}
	best := map[string]float32{}
	for _, f := range all.Detections {
		best[f.Query] = max(best[f.Query], f.Score)
	}
	above := best["cat"] + 0.01
	for _, test := range []struct {
		name       string
		params     Params
		thresholds []float32
		present    []bool
	}{
		{"none", Params{}, []float32{0, 0, 0}, []bool{true, true, true}},
		{"one over all", Params{Threshold: 2}, []float32{2, 2, 2}, []bool{false, false, false}},
		{"of one query", Params{Thresholds: map[string]float32{"cat": above}}, []float32{0, above, 0}, []bool{true, false, true}},
		{"0 of one query", Params{Threshold: 2, Thresholds: map[string]float32{"cup": 0}}, []float32{2, 2, 0}, []bool{false, false, true}},
		{"at the score itself", Params{Threshold: 2, Thresholds: map[string]float32{"dog": best["dog"]}, SoftNMS: 0.5, TopK: 1}, []float32{best["dog"], 2, 2}, []bool{true, false, false}},
	} {
		thresholds := maps.Clone(test.params.Thresholds)
		result, err := regions.Match(t.Context(), q, test.params)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !maps.Equal(thresholds, test.params.Thresholds) {
			t.Errorf("%s: Match changed the thresholds", test.name)
		}
		found := map[string]bool{}
		for _, f := range result.Detections {
			found[f.Query] = true
			if at := slices.Index(q.names, f.Query); test.thresholds[at] != 0 && f.Score < test.thresholds[at] {
				t.Errorf("%s: %+v is under its threshold %v", test.name, f, test.thresholds[at])
			}
		}
		for i, p := range result.Presence {
			want := Presence{q.names[i], test.present[i], best[q.names[i]], test.thresholds[i]}
			if p != want || found[p.Query] != p.Present {
				t.Errorf("%s: got %+v, found %v; want %+v", test.name, p, found[p.Query], want)
			}
		}
		if len(result.Presence) != 3 {
			t.Errorf("%s: presence of %d queries, want 3", test.name, len(result.Presence))
		}
	}
	for _, params := range []Params{
		{Thresholds: map[string]float32{"bird": 1}},
		{Thresholds: map[string]float32{"dog": float32(math.NaN())}},
		{SoftNMS: -1}, {SoftNMS: math.NaN()}, {SoftNMS: 0.5, Rank: RankCosine}, {BoxVoting: -1}, {Contained: math.NaN()},
	} {
		if _, err := regions.Match(t.Context(), q, params); !errors.Is(err, ErrOption) && !errors.Is(err, ErrQuery) {
			t.Errorf("%s: got %v, want ErrOption or ErrQuery", fmt.Sprintf("%+v", params), err)
		}
	}
}

// TestASynonymTakesNothing adds names to a query that are the same to the models. Its
// scores must stay, and another query must not lose either.
func TestASynonymTakesNothing(t *testing.T) {
	d := open(t, Options{Proposals: 40, Alike: 0.999})
	regions, err := d.Regions(t.Context(), scene(9, 200, 160))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	match := func(names ...string) map[string]map[box.Box]float32 {
		var list []Query
		for _, name := range names {
			list = append(list, Query{Name: name})
		}
		q, err := d.Queries(t.Context(), list...)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		result, err := regions.Match(t.Context(), q, Params{NMS: 1, Rank: RankProbability})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]map[box.Box]float32{}
		for _, f := range result.Detections {
			if found[f.Query] == nil {
				found[f.Query] = map[box.Box]float32{}
			}
			found[f.Query][f.Box] = f.Probability
		}
		return found
	}
	alone, among := match("traffic light", "cup"), match("Traffic Light", "traffic light", "cup", "traffic_light")
	for _, name := range []string{"traffic light", "cup"} {
		for at, p := range alone[name] {
			if got := among[name][at]; math.Abs(float64(got-p)) > 1e-6 {
				t.Errorf("%s at %v has the probability %v, and %v without names like the traffic light", name, at, got, p)
			}
		}
	}
	if list, err := d.Queries(t.Context(), Query{Name: "cup"}, Query{Name: "Cup"}); err != nil {
		t.Error(err)
	} else if a := list.Alike(); len(a) != 1 || a[0].A != "cup" || a[0].B != "Cup" || a[0].Likeness < 0.9999 || a[0].Likeness > 1 {
		t.Errorf("cup and Cup: %+v, want the pair with the likeness 1", a)
	}
}

func TestScoresEachNeedsABackground(t *testing.T) {
	d := open(t, Options{Background: []string{}})
	q, err := d.Queries(t.Context(), Query{Name: "cup"})
	if err != nil {
		t.Fatal(err)
	}
	for _, scores := range []Scores{ScoresEach, "both"} {
		if _, err := d.Detect(t.Context(), scene(9, 40, 40), q, Params{Scores: scores}); !errors.Is(err, ErrOption) {
			t.Errorf("%s: %v, want ErrOption", scores, err)
		}
	}
}

// TestManyLikeQueries asks for one thing by so many names that not every pair is listed.
func TestManyLikeQueries(t *testing.T) {
	d := open(t, Options{Proposals: 20})
	regions, err := d.Regions(t.Context(), scene(9, 100, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	match := func(names int) (*Queries, map[string][]float32) {
		list := []Query{{Name: "cup"}}
		for i := range names {
			list = append(list, Query{Name: fmt.Sprint("dog ", i), Phrases: []string{"a dog"}})
		}
		q, err := d.Queries(t.Context(), list...)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		result, err := regions.Match(t.Context(), q, Params{NMS: 1, Rank: RankCosine})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string][]float32{}
		for _, f := range result.Detections {
			found[f.Query] = append(found[f.Query], f.Probability)
		}
		return q, found
	}
	const names = 150
	_, alone := match(1)
	q, among := match(names)
	for name, want := range map[string][]float32{"cup": alone["cup"], "dog 0": alone["dog 0"], fmt.Sprint("dog ", names-1): alone["dog 0"]} {
		if got := among[name]; !slices.EqualFunc(got, want, func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }) {
			t.Errorf("%s has the probabilities %v, and %v with one dog", name, got, want)
		}
	}
	pairs := q.Alike()
	if len(pairs) != maxAlike || names*(names-1)/2 < maxAlike {
		t.Errorf("%d pairs are listed, want %d", len(pairs), maxAlike)
	}
	for i, p := range pairs {
		if p.Likeness < 0.9999 || i > 0 && p.Likeness > pairs[i-1].Likeness {
			t.Fatalf("pair %d is %+v, after %+v", i, p, pairs[max(i-1, 0)])
		}
	}
}

// TestLikesOfDifferentQueries checks that only queries that have their like take a row of
// bits: where Limits allow 250,000, all rows would be 8 GB.
func TestLikesOfDifferentQueries(t *testing.T) {
	const n = 5000
	like := newLikes(n)
	like.add(3, n-1)
	rows := 0
	for _, row := range like.rows {
		if row != nil {
			rows++
		}
	}
	if rows != 2 {
		t.Errorf("%d rows for two queries that are alike", rows)
	}
	if !like.are(3, n-1) || !like.are(n-1, 3) || like.are(3, 4) || like.are(4, 3) || like.counts[3] != 1 || like.counts[4] != 0 {
		t.Error("others are alike than were added")
	}
}

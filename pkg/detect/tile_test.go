package detect

import (
	"cmp"
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

func TestStarts(t *testing.T) {
	for _, test := range []struct {
		length, side int
		overlap      float64
		want         []int
	}{
		{640, 640, 0.2, []int{0}},
		{100, 640, 0.2, []int{0}},
		{641, 640, 0.2, []int{0, 1}},
		{1152, 640, 0.2, []int{0, 512}},
		{1153, 640, 0.2, []int{0, 256, 513}},
		{2000, 1000, 0.5, []int{0, 500, 1000}},
	} {
		if got := starts(test.length, test.side, test.overlap); !slices.Equal(got, test.want) {
			t.Errorf("%d pixels in tiles of %d with %v: %v, want %v", test.length, test.side, test.overlap, got, test.want)
		}
	}
	for length := 1; length < 3000; length += 7 {
		all := starts(length, 320, 0.25)
		for i, at := range all {
			if i > 0 && at-all[i-1] > 240 || i == len(all)-1 && at+320 < length || at > 0 && at+320 > length {
				t.Fatalf("%d pixels: tiles at %v", length, all)
			}
		}
	}
}

// TestMergingPrefersWholeObjects has an object that a tile's edge cuts, an object in two
// tiles, and two objects beside each other.
func TestMergingPrefersWholeObjects(t *testing.T) {
	of := func(name string, score, x0, y0, x1, y1 float32) Detection {
		return Detection{Query: name, Score: score, Box: box.Box{X0: x0, Y0: y0, X1: x1, Y1: y1}}
	}
	whole := &Result{Width: 1000, Height: 400, Presence: []Presence{{Query: "owl", Score: 0.3}, {Query: "cup", Score: 0.1}}}
	tile := func(owl, cup float32, d ...Detection) *Result {
		return &Result{Width: 600, Height: 400, Detections: d, Presence: []Presence{{Query: "owl", Score: owl}, {Query: "cup", Score: cup}}}
	}
	m := merging{result: whole}
	m.add([]Detection{of("owl", 0.6, 500, 100, 700, 300)}, image.Rect(0, 0, 1000, 400), whole)
	m.addTile(tile(0.9, 0.7, of("owl", 0.9, 500, 100, 600, 300), of("cup", 0.7, 450, 0, 550, 90)), image.Rect(0, 0, 600, 400))
	m.addTile(tile(0.8, 0.8, of("cup", 0.8, 51, 0, 151, 90), of("owl", 0.8, 400, 0, 595, 200), of("owl", 0.4, 0, 300, 60, 400)), image.Rect(400, 0, 1000, 400))
	params := matching{Params: Params{NMS: 0.5, MaxDetections: 100}}
	if err := m.finish(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	// The owl of 0.9 is a part of the owl of 0.6; the cup of 0.7 is the cup of 0.8 again;
	// the owl of 0.4 is a part of no other, and is kept.
	want := []Detection{of("cup", 0.8, 451, 0, 551, 90), of("owl", 0.8, 800, 0, 995, 200), of("owl", 0.6, 500, 100, 700, 300), of("owl", 0.4, 400, 300, 460, 400)}
	if !slices.Equal(whole.Detections, want) {
		t.Errorf("got %v, want %v", whole.Detections, want)
	}
	if p := whole.Presence; p[0].Score != 0.9 || p[1].Score != 0.8 || !p[0].Present || !p[1].Present {
		t.Errorf("presence %v, want the best of all parts", p)
	}
	params.TopK, params.Best = 1, 1
	if err := m.finish(t.Context(), params); err != nil || !slices.Equal(whole.Detections, want[:1]) {
		t.Errorf("the best: %v (%v), want %v", whole.Detections, err, want[:1])
	}
	params = matching{Params: Params{NMS: 0.5, Best: 1, MaxDetections: 1}}
	if err := m.finish(t.Context(), params); err != nil || !slices.Equal(whole.Detections, want[:1]) {
		t.Errorf("the best where one is the limit: %v (%v), want %v", whole.Detections, err, want[:1])
	}
	params = matching{Params: Params{NMS: 1, MaxDetections: 5}}
	if err := m.finish(t.Context(), params); !errors.Is(err, ErrLimit) {
		t.Errorf("six detections where five are the limit: %v", err)
	}
}

func TestTileParams(t *testing.T) {
	d := open(t, Options{Proposals: 5})
	q := queries(t, d, "red", "blue")
	for name, params := range map[string]Params{
		"a small tile":    {Tile: 31},
		"below auto":      {Tile: -2},
		"a large overlap": {Tile: 100, TileOverlap: 0.9},
		"NaN":             {Tile: 100, TileOverlap: math.NaN()},
	} {
		if _, err := d.Detect(t.Context(), scene(1, 200, 100), q, params); !errors.Is(err, ErrOption) {
			t.Errorf("%s: %v, want ErrOption", name, err)
		}
	}
	if _, err := d.Detect(t.Context(), scene(1, 3000, 3000), q, Params{Tile: 32, TileOverlap: 0.5}); !errors.Is(err, ErrLimit) {
		t.Errorf("too many tiles: %v, want ErrLimit", err)
	}
	regions, err := d.Regions(t.Context(), scene(1, 200, 100))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	if _, err := regions.Match(t.Context(), q, Params{Tile: TileAuto}); !errors.Is(err, ErrOption) {
		t.Errorf("regions in tiles: %v, want ErrOption", err)
	}
	// The tiny network sees pictures at 160 to 256 pixels.
	for _, test := range []struct{ width, height, side, tiles int }{
		{200, 100, TileAuto, 0}, {600, 400, TileAuto, 0}, {1300, 900, TileAuto, 20}, {300, 100, 200, 2}, {100, 100, 200, 0},
	} {
		img := scene(1, test.width, test.height)
		got, err := d.Detect(t.Context(), img, q, Params{Tile: test.side})
		if err != nil || got.Tiles != test.tiles {
			t.Errorf("%+v: %+v (%v)", test, got, err)
			continue
		}
		for _, found := range got.Detections {
			if b := found.Box; b != b.Clip(test.width, test.height) {
				t.Errorf("%+v: %v leaves the picture", test, b)
			}
		}
		if len(got.Proposals) > 5*(1+test.tiles) {
			t.Errorf("%+v: %d proposals", test, len(got.Proposals))
		}
	}
}

// TestTilesEndWithTheirCause ends the context while the tiles are made and merged.
func TestTilesEndWithTheirCause(t *testing.T) {
	d := open(t, Options{Proposals: 5})
	q := queries(t, d, "red")
	cause := errors.New("enough")
	img := scene(1, 100, 60)
	for n := int64(1); ; n++ {
		under, cancel := context.WithCancelCause(t.Context())
		ctx := &causing{Context: under, end: func() { cancel(cause) }}
		ctx.left.Store(n)
		_, err := d.Detect(ctx, img, q, Params{Tile: 60})
		over := ctx.left.Load() > 0
		cancel(nil)
		if over && err == nil {
			break
		}
		if !errors.Is(err, cause) {
			t.Fatalf("ended at step %d: %v, want the cause", n, err)
		}
	}
}

// causing is a context that ends itself at a call of Err.
type causing struct {
	context.Context
	left atomic.Int64
	end  func()
}

func (c *causing) Err() error {
	if c.left.Add(-1) == 0 {
		c.end()
	}
	return c.Context.Err()
}

// TestMergingLooksAtItsContext checks that merging asks its context before each box.
func TestMergingLooksAtItsContext(t *testing.T) {
	m := merging{result: &Result{}, found: make([]located, 3)}
	params := matching{Params: Params{NMS: 0.5, MaxDetections: 100}}
	for n := range int64(len(m.found)) {
		if err := m.finish(endAfter(n), params); !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d of %d boxes: %v, want Canceled", n, len(m.found), err)
		}
	}
	if err := m.finish(endAfter(int64(len(m.found))), params); err != nil {
		t.Error(err)
	}
}

// TestMergingComparesEveryTwoThatOverlap compares finish with a search through all boxes,
// for boxes of all sizes, equal and empty ones among them.
func TestMergingComparesEveryTwoThatOverlap(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 1))
	names := []string{"owl", "cup"}
	for round := range 200 {
		whole := float32(100 * (1 + random.IntN(30)))
		m := merging{result: &Result{}}
		for range 300 {
			b := box.Box{X0: whole * random.Float32(), Y0: whole * random.Float32()}
			side := whole * float32(math.Pow(2, -10*random.Float64()))
			b.X1, b.Y1 = b.X0+side*(0.1+random.Float32()), b.Y0+side*(0.1+random.Float32())
			switch random.IntN(5) {
			case 0: // whole pixels, of which many are equal or touch
				b = box.Box{X0: float32(int(b.X0) / 32 * 32), Y0: float32(int(b.Y0) / 32 * 32), X1: float32(int(b.X1) / 32 * 32), Y1: float32(int(b.Y1) / 32 * 32)}
			case 1:
				b.X1 = min(b.X1, b.X0+0.3) // a line
			}
			m.found = append(m.found, located{Detection{Query: names[random.IntN(2)], Box: b, Score: float32(random.IntN(50))}, random.IntN(3) == 0})
		}
		for _, params := range []Params{{NMS: 0.5}, {NMS: 0.05, Agnostic: true}, {NMS: 1e-9}, {NMS: 0.95}, {NMS: 1}} {
			params.MaxDetections = len(m.found)
			want := mergedPlainly(m.found, params)
			if err := m.finish(t.Context(), matching{Params: params}); err != nil || !slices.Equal(m.result.Detections, want) {
				t.Fatalf("round %d, %+v: %d detections (%v), want %d", round, params, len(m.result.Detections), err, len(want))
			}
		}
	}
}

// mergedPlainly is what finish does, with a search through all boxes.
func mergedPlainly(found []located, params Params) (detections []Detection) {
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b located) int { return cmp.Compare(b.Score, a.Score) })
	var kept []located
	for _, part := range []bool{false, true} {
		for _, d := range found {
			if d.part == part && (params.NMS >= 1 || !slices.ContainsFunc(kept, func(k located) bool {
				return (params.Agnostic || k.Query == d.Query) && d.hiddenBy(k.Box, params.NMS)
			})) {
				kept, detections = append(kept, d), append(detections, d.Detection)
			}
		}
	}
	slices.SortStableFunc(detections, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	return detections
}

// TestTilesWithinTheLimit checks that MaxDetections counts what is left after TopK and Best.
func TestTilesWithinTheLimit(t *testing.T) {
	d := open(t, Options{Proposals: 20})
	q := queries(t, d, "red", "blue")
	for _, params := range []Params{{TopK: 1, MaxDetections: 2}, {Best: 3, MaxDetections: 3}} {
		for _, params.Tile = range []int{0, 200} {
			result, err := d.Detect(t.Context(), scene(1, 400, 300), q, params)
			if err != nil || len(result.Detections) != params.MaxDetections {
				t.Errorf("%+v: %+v (%v)", params, result, err)
			}
			params := params
			params.MaxDetections--
			if result, err := d.Detect(t.Context(), scene(1, 400, 300), q, params); !errors.Is(err, ErrLimit) || result != nil {
				t.Errorf("%+v: %+v (%v), want ErrLimit and no result", params, result, err)
			}
		}
	}
}

package detect

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"weak"
)

// storedBlocks returns blocks of random regions, with some left out and in groups of some
// twenty. Their rows aren't of unit length, which nothing needs. Regions of later blocks
// have more objectness, so that each block changes what is best.
func storedBlocks(width int, rows ...int) []Stored {
	random := rand.New(rand.NewPCG(3, 1))
	blocks, group := make([]Stored, len(rows)), int64(0)
	for b, n := range rows {
		of := &blocks[b]
		for range n {
			of.Objectness = append(of.Objectness, (float32(b)+random.Float32())/float32(len(rows)))
			of.Keep = append(of.Keep, random.IntN(10) > 0)
			if random.IntN(20) == 0 {
				group++
			}
			of.Groups = append(of.Groups, group)
			for range width { // ±2^-9 to ±2^-2, in float16
				of.Embeddings = append(of.Embeddings, uint16(random.IntN(2)<<15|(6+random.IntN(8))<<10|random.IntN(1<<10))) //nolint:gosec // below 2^16
			}
		}
	}
	return blocks
}

// Nearest finds what a sort of the scores of all regions finds, whatever is asked: also in
// blocks that are smaller than the lists, and of a length that isn't one of whole runs.
func TestNearestIsASortOfAllScores(t *testing.T) {
	for device, d := range map[string]*Detector{"CPU": open(t, Options{}), "in the way of a GPU": openAsGPU(t, Options{})} {
		asked := map[string]*Queries{"plain": queries(t, d, "dog", "cat", "a red mug"), "one": queries(t, d, "dog")}
		for name, list := range map[string][]Query{
			"like ones and a negative": {{Name: "dog"}, {Name: "dog too", Phrases: []string{"a dog"}}, {Name: "dog three", Phrases: []string{"a dog"}}, {Name: "cat", Negatives: []string{"a lynx"}}},
		} {
			q, err := d.Queries(t.Context(), list...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(q.Close)
			asked[name] = q
		}
		if q := asked["like ones and a negative"]; q.shares == nil || q.negatives == nil {
			t.Fatal("no queries are alike, or none has negatives")
		}
		blocks := storedBlocks(d.files.Image.Manifest.EmbeddingWidth, 900, 1, 40, 1024, 3*run+1, run, 700)
		var all Stored
		for _, b := range blocks {
			all.Embeddings, all.Objectness = append(all.Embeddings, b.Embeddings...), append(all.Objectness, b.Objectness...)
			all.Keep, all.Groups = append(all.Keep, b.Keep...), append(all.Groups, b.Groups...)
		}
		for name, q := range asked {
			for _, params := range []Params{
				{TopK: 100}, {TopK: 1, Rank: RankMean}, {TopK: 100, Rank: RankProbability}, {TopK: 300, Rank: RankCosine},
				{TopK: 100, Scores: ScoresEach}, {TopK: 5000},
			} {
				for _, take := range []struct{ keep, groups bool }{{}, {keep: true}, {groups: true}, {true, true}} {
					want := sorted(t, d, all, q, params, take.keep, take.groups)
					given := func(yield func(Stored, error) bool) {
						for _, b := range blocks {
							if !take.keep {
								b.Keep = nil
							}
							if !take.groups {
								b.Groups = nil
							}
							if !yield(b, nil) {
								return
							}
						}
					}
					places, err := d.Nearest(t.Context(), given, q, params)
					if err != nil {
						t.Fatal(err)
					}
					for i := range want {
						if err := want[i].equal(places[i], min(params.TopK, len(want[i].order))); err != nil {
							t.Errorf("%s, %s, %+v, %+v, query %d: %v", device, name, params, take, i, err)
						}
					}
				}
			}
		}
	}
}

// ordered are the regions that fit a query.
type ordered struct {
	order []int64 // best first
	score map[int64]float32
}

// sorted scores all regions and sorts them, for each query.
func sorted(t *testing.T, d *Detector, all Stored, q *Queries, params Params, keep, groups bool) []ordered {
	t.Helper()
	rows := make([][]int, len(q.names))
	for i := range rows {
		for row := range all.Objectness {
			rows[i] = append(rows[i], row)
		}
	}
	params.Threshold = -2
	matches, err := d.MatchStored(t.Context(), all, rows, q, params)
	if err != nil {
		t.Fatal(err)
	}
	lists := make([]ordered, len(rows))
	for i, list := range matches {
		slices.SortStableFunc(list, func(a, b StoredMatch) int { return cmp.Compare(b.Score, a.Score) })
		seen := make(map[int64]bool)
		lists[i].score = make(map[int64]float32)
		for _, m := range list {
			if keep && !all.Keep[m.Row] {
				continue
			}
			lists[i].score[int64(m.Row)] = m.Score
			if group := all.Groups[m.Row]; !groups || !seen[group] {
				seen[group] = true
				lists[i].order = append(lists[i].order, int64(m.Row))
			}
		}
	}
	return lists
}

// equal returns an error if places aren't the first n of the order, but for scores that are
// equal up to rounding.
func (o ordered) equal(places []int64, n int) error {
	if len(places) != n {
		return fmt.Errorf("%d places, want %d", len(places), n)
	}
	seen := make(map[int64]bool)
	for i, place := range places {
		got, fits := o.score[place]
		if !fits || seen[place] {
			return fmt.Errorf("place %d is %d, which is there twice or doesn't take part", i, place)
		}
		seen[place] = true
		if want := o.score[o.order[i]]; math.Abs(float64(got-want)) > 2e-6 {
			return fmt.Errorf("place %d is %d with the score %v, want %d with %v", i, place, got, o.order[i], want)
		}
	}
	return nil
}

// An embedding that isn't a number, as of a damaged file, is refused wherever it is.
func TestNearestRefusesWhatIsNoNumber(t *testing.T) {
	d := open(t, Options{})
	width := d.files.Image.Manifest.EmbeddingWidth
	q := queries(t, d, "dog")
	for _, at := range [][2]int{{0, 299}, {1, 200}, {1, 2*run + 1}} { // found by top-k, in a run, after the runs
		blocks := storedBlocks(width, 300, 2*run+5)
		blocks[at[0]].Embeddings[at[1]*width] = 0x7e00 // NaN
		given := func(yield func(Stored, error) bool) {
			for _, b := range blocks {
				b.Keep, b.Groups = nil, nil
				if !yield(b, nil) {
					return
				}
			}
		}
		if places, err := d.Nearest(t.Context(), given, q, Params{TopK: 10}); !errors.Is(err, ErrOutput) {
			t.Errorf("NaN in row %d of block %d: %v, %v", at[1], at[0], places, err)
		}
	}
}

// TestNearestOfQueriesThatClose closes the queries between two blocks, when the engine frees
// what was closed.
func TestNearestOfQueriesThatClose(t *testing.T) {
	d := open(t, Options{})
	blocks := storedBlocks(d.files.Image.Manifest.EmbeddingWidth, 300, 300, 300)
	for name, test := range map[string]struct {
		queries []Query
		params  Params
	}{
		"plain":     {[]Query{{Name: "dog"}, {Name: "cat"}}, Params{TopK: 3}},
		"cosine":    {[]Query{{Name: "dog"}, {Name: "cat"}}, Params{TopK: 3, Rank: RankCosine}},
		"each":      {[]Query{{Name: "dog"}, {Name: "cat"}}, Params{TopK: 3, Scores: ScoresEach}},
		"negatives": {[]Query{{Name: "dog", Negatives: []string{"a wolf"}}}, Params{TopK: 3}},
		"like ones": {[]Query{{Name: "dog"}, {Name: "Dog"}}, Params{TopK: 3}},
	} {
		q, err := d.Queries(t.Context(), test.queries...)
		if err != nil {
			t.Fatal(err)
		}
		given := func(yield func(Stored, error) bool) {
			for i, b := range blocks {
				if i == 1 {
					q.Close()
				}
				if !yield(b, nil) {
					return
				}
			}
		}
		if places, err := d.Nearest(t.Context(), given, q, test.params); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, %v; want ErrClosed", name, places, err)
		}
	}
}

// TestNearestLetsGoOfBlocks checks that a block's memory is free once a later one is asked
// for, so that a caller may read a collection that is larger than the memory.
func TestNearestLetsGoOfBlocks(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog", "cat")
	var given []weak.Pointer[uint16]
	blocks := func(yield func(Stored, error) bool) {
		for i := range 4 {
			if runtime.GC(); i > 1 && given[i-2].Value() != nil {
				t.Errorf("block %d is still there when block %d is asked for", i-2, i)
			}
			b := storedBlocks(d.files.Image.Manifest.EmbeddingWidth, 300)[0]
			given = append(given, weak.Make(&b.Embeddings[0]))
			if !yield(b, nil) {
				return
			}
		}
	}
	if _, err := d.Nearest(t.Context(), blocks, q, Params{TopK: 3}); err != nil {
		t.Fatal(err)
	}
}

package index

import (
	"cmp"
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// matched returns what Match gives of every region of the pictures, for each query, best
// first. What keep refuses is left out.
func matched(t *testing.T, d *detect.Detector, q *detect.Queries, paths []string, rank detect.Rank, scores detect.Scores, keep func(path string, b box.Box) bool) [][]Hit {
	t.Helper()
	all := make([][]Hit, len(q.Names()))
	for _, path := range paths {
		regions, err := d.Regions(t.Context(), load(t, path))
		if err != nil {
			t.Fatal(err)
		}
		result, err := regions.Match(t.Context(), q, detect.Params{NMS: 1, Rank: rank, Scores: scores})
		regions.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range result.Detections {
			if !keep(path, found.Box) {
				continue
			}
			hit := Hit{Detection: found, Picture: path, Width: result.Width, Height: result.Height}
			hit.Region = 1 + slices.IndexFunc(result.Proposals, func(p detect.Proposal) bool { return p.Box == found.Box })
			of := slices.Index(q.Names(), found.Query)
			all[of] = append(all[of], hit)
		}
	}
	for _, list := range all {
		slices.SortStableFunc(list, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	}
	return all
}

func everything(string, box.Box) bool { return true }

// tolerance is that of the embeddings' half precision.
const tolerance = 2e-3

// compare fails if hits are not the best of all, or their parts not the same. Regions
// whose scores differ by less than the tolerance may change places.
func compare(t *testing.T, what string, hits, all [][]Hit, most int) {
	t.Helper()
	for q, list := range hits {
		if want := min(most, len(all[q])); len(list) != want {
			t.Fatalf("%s: query %d has %d hits, want %d of %d", what, q, len(list), want, len(all[q]))
		}
		for i, hit := range list {
			at := slices.IndexFunc(all[q], func(h Hit) bool { return h.Picture == hit.Picture && h.Region == hit.Region })
			if at < 0 {
				t.Fatalf("%s: hit %d is %s#%d, which isn't among those that fit", what, i, hit.Picture, hit.Region)
			}
			want := all[q][at]
			for _, part := range [][2]float32{
				{hit.Score, want.Score}, {hit.Cosine, want.Cosine}, {hit.Probability, want.Probability},
				{hit.Objectness, want.Objectness}, {hit.Score, all[q][i].Score},
			} {
				if math.Abs(float64(part[0]-part[1])) > tolerance {
					t.Errorf("%s: hit %d is %+v, want %+v, and the score %v there", what, i, hit, want, all[q][i].Score)
				}
			}
			if hit.Box != want.Box || hit.Query != want.Query || hit.Width != want.Width || hit.Height != want.Height {
				t.Errorf("%s: hit %d is %+v, want %+v", what, i, hit, want)
			}
		}
	}
}

func TestSearchGivesWhatMatchGives(t *testing.T) {
	d := open(t)
	paths := pictures(t, 7)
	dir := t.TempDir()
	fill(t, d, dir, paths, Options{ShardRegions: 50})
	ix, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if stats := ix.Stats(); stats.Shards < 2 || stats.Pictures != 7 || stats.Regions < 100 || stats.Dead != 0 {
		t.Fatalf("the index has %+v, want several shards of 7 pictures", stats)
	}
	q := ask(t, d, "dog", "cat", "a red mug")
	third := paths[2]
	tests := []struct {
		name   string
		params Params
		keep   func(path string, b box.Box) bool
	}{
		{"all", Params{TopK: 10_000}, nil},
		{"few", Params{TopK: 5}, nil},
		{"cosine", Params{TopK: 9, Rank: detect.RankCosine}, nil},
		{"probability", Params{TopK: 9, Rank: detect.RankProbability}, nil},
		{"mean", Params{TopK: 9, Rank: detect.RankMean}, nil},
		{"each query alone", Params{TopK: 9, Scores: detect.ScoresEach}, nil},
		{"large", Params{TopK: 9, MinSize: 40}, func(_ string, b box.Box) bool { return min(b.X1-b.X0, b.Y1-b.Y0) >= 40 }},
		{"by name", Params{TopK: 9, Path: "002*"}, func(path string, _ box.Box) bool { return path == third }},
		{"by path", Params{TopK: 9, Path: filepath.Dir(third) + "/00[35].png", Rank: detect.RankCosine}, func(path string, _ box.Box) bool {
			return strings.HasSuffix(path, "003.png") || strings.HasSuffix(path, "005.png")
		}},
		{"none", Params{Path: "no such picture"}, func(string, box.Box) bool { return false }},
	}
	for _, test := range tests {
		if test.keep == nil {
			test.keep = everything
		}
		hits, err := ix.Search(t.Context(), d, q, test.params)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		all := matched(t, d, q, paths, test.params.Rank, test.params.Scores, test.keep)
		compare(t, test.name, hits, all, cmp.Or(test.params.TopK, DefaultTopK))
	}

	all := matched(t, d, q, paths, "", "", everything)
	for q, list := range all {
		seen := map[string]bool{}
		all[q] = slices.DeleteFunc(list, func(h Hit) bool {
			again := seen[h.Picture]
			seen[h.Picture] = true
			return again
		})
	}
	for _, most := range []int{3, 100} {
		hits, err := ix.Search(t.Context(), d, q, Params{TopK: most, PerPicture: true})
		if err != nil {
			t.Fatal(err)
		}
		for q, list := range hits {
			if want := min(most, 7); len(list) != want {
				t.Errorf("%d hits of query %d, one a picture, want %d", len(list), q, want)
			}
			for i, hit := range list {
				if math.Abs(float64(hit.Score-all[q][i].Score)) > tolerance {
					t.Errorf("one a picture: hit %d of query %d has the score %v, want %v", i, q, hit.Score, all[q][i].Score)
				}
			}
		}
	}
}

// TestShardsEndWithTheirCause checks that reading ends with the cause of the context's end.
func TestShardsEndWithTheirCause(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if b := (blocks{ctx: ctx}).read(shard{}); !errors.Is(b.err, cause) {
		t.Errorf("got %v, want the cause", b.err)
	}
}

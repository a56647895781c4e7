package index

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
)

// TestExampleFindsItselfAndItsLike compares the hits of a region of the index with the
// cosines of all regions with it.
func TestExampleFindsItselfAndItsLike(t *testing.T) {
	d := open(t)
	paths := pictures(t, 5)
	dir := t.TempDir()
	fill(t, d, dir, paths, Options{ShardRegions: 50})
	ix, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const number = 4
	example, err := ix.Example(paths[2], number)
	if err != nil {
		t.Fatal(err)
	}
	queries, err := d.Queries(t.Context(), detect.Query{Name: "more", Examples: []detect.Example{example}})
	if err != nil {
		t.Fatal(err)
	}
	defer queries.Close()
	hits, err := ix.Search(t.Context(), d, queries, Params{TopK: 20, Rank: detect.RankCosine})
	if err != nil {
		t.Fatal(err)
	}

	type place struct {
		path   string
		region int
		cosine float64
	}
	var all []place
	var like []float32
	embeddings := map[string][][]float32{}
	for _, path := range paths {
		regions, err := d.Regions(t.Context(), load(t, path))
		if err != nil {
			t.Fatal(err)
		}
		if embeddings[path], err = regions.Embeddings(t.Context()); err != nil {
			t.Fatal(err)
		}
		regions.Close()
	}
	like = embeddings[paths[2]][number-1]
	for _, path := range paths {
		for i, e := range embeddings[path] {
			sum := 0.0
			for j := range e {
				sum += float64(e[j]) * float64(like[j])
			}
			all = append(all, place{path, i + 1, sum})
		}
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(b.cosine, a.cosine) })
	if len(hits[0]) != 20 {
		t.Fatalf("%d hits, want 20", len(hits[0]))
	}
	itself := false
	for i, hit := range hits[0] {
		if math.Abs(float64(hit.Cosine)-all[i].cosine) > tolerance {
			t.Errorf("hit %d, %s#%d, has the cosine %v, want %v of %+v", i, hit.Picture, hit.Region, hit.Cosine, all[i].cosine, all[i])
		}
		itself = itself || hit.Picture == paths[2] && hit.Region == number
	}
	if !itself || hits[0][0].Cosine < 1-tolerance {
		t.Errorf("the region itself is among the hits: %t; the best has the cosine %v, want 1", itself, hits[0][0].Cosine)
	}

	for _, wrong := range []struct {
		picture string
		region  int
	}{{paths[2], 0}, {paths[2], 100_000}, {"none.png", 1}} {
		if _, err := ix.Example(wrong.picture, wrong.region); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: got %v, want ErrOption", wrong, err)
		}
	}
	short := detect.Example{Embedding: example.Embedding[1:]}
	if _, err := d.Queries(t.Context(), detect.Query{Name: "more", Examples: []detect.Example{short}}); !errors.Is(err, detect.ErrQuery) {
		t.Errorf("an embedding that is too short: got %v, want ErrQuery", err)
	}
	both := detect.Example{Embedding: example.Embedding, Image: load(t, paths[0])}
	if _, err := d.Queries(t.Context(), detect.Query{Name: "more", Examples: []detect.Example{both}}); !errors.Is(err, detect.ErrQuery) {
		t.Errorf("an embedding and a picture: got %v, want ErrQuery", err)
	}
}

// A picture without regions has the first row 0 in its tombstone, as the first picture of
// its shard has.
func TestExampleBesideARemovedPicture(t *testing.T) {
	d := open(t)
	dir, paths := t.TempDir(), pictures(t, 2)
	w, err := Create(dir, d.Info(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		picture := load(t, path)
		if i == 1 {
			picture = detect.WithProposals{Image: picture}
		}
		if err := add(t, w, d, path, picture); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w, err = Create(dir, d.Info(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Remove(paths[1]), w.Close()); err != nil {
		t.Fatal(err)
	}
	ix, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Example(paths[0], 1); err != nil {
		t.Errorf("a picture that is there: %v", err)
	}
	if w, err = Create(dir, d.Info(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Remove(paths[0]), w.Close()); err != nil {
		t.Fatal(err)
	}
	if ix, err = Open(dir, OpenOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Example(paths[0], 1); !errors.Is(err, ErrOption) {
		t.Errorf("a picture that was removed: got %v, want ErrOption", err)
	}
}

package detect

import (
	"errors"
	"iter"
	"reflect"
	"testing"
)

func TestRegionsAllIsRegions(t *testing.T) {
	d := open(t, Options{Proposals: 10})
	wrong := errors.New("no picture")
	i := 0
	for r, err := range d.RegionsAll(t.Context(), stream(scene(1, 90, 70), wrong, nil, scene(2, 80, 60))) {
		switch {
		case errors.Is(err, wrong):
		case err != nil:
			t.Fatal(err)
		default:
			one, err := d.Regions(t.Context(), scene(map[int]uint64{0: 1, 2: 2}[i], map[int]int{0: 90, 2: 80}[i], map[int]int{0: 70, 2: 60}[i]))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := r.Proposals(), one.Proposals(); len(got) != len(want) || got[0] != want[0] {
				t.Errorf("picture %d: %d regions, want %d", i, len(got), len(want))
			}
			one.Close()
			r.Close()
		}
		i++
	}
	if i != 3 {
		t.Errorf("%d were yielded, want 3", i)
	}
	for r, err := range d.RegionsAll(t.Context(), stream(scene(1, 90, 70), wrong, nil, scene(2, 80, 60))) {
		if err != nil {
			t.Fatal(err)
		}
		r.Close() // TestMain finds tensors of the pictures that nobody took
		break
	}
}

func TestNearestRefusesWhatDoesntFit(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	width := d.files.Image.Manifest.EmbeddingWidth
	for what, stored := range map[string]Stored{
		"half a row": {Embeddings: make([]uint16, width+1), Objectness: make([]float32, 1)},
		"objectness": {Embeddings: make([]uint16, width)},
		"marks":      {Embeddings: make([]uint16, width), Objectness: make([]float32, 1), Keep: make([]bool, 2)},
		"groups":     {Embeddings: make([]uint16, width), Objectness: make([]float32, 1), Groups: make([]int64, 2)},
	} {
		var blocks iter.Seq2[Stored, error] = func(yield func(Stored, error) bool) { yield(stored, nil) }
		if _, err := d.Nearest(t.Context(), blocks, q, Params{TopK: 1}); !errors.Is(err, ErrOption) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Nearest(t.Context(), nil, q, Params{}); !errors.Is(err, ErrOption) {
		t.Errorf("without TopK: %v", err)
	}
}

// TestMatchStoredWithoutObjectness checks that only the ranks by objectness need it.
func TestMatchStoredWithoutObjectness(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog", "cat")
	stored := storedBlocks(d.files.Image.Manifest.EmbeddingWidth, 4)[0]
	rows := [][]int{{0, 1, 2}, {3}}
	bare := Stored{Embeddings: stored.Embeddings}
	for _, rank := range []Rank{RankCosine, RankProbability} {
		want, err := d.MatchStored(t.Context(), stored, rows, q, Params{Rank: rank, Threshold: -2})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.MatchStored(t.Context(), bare, rows, q, Params{Rank: rank, Threshold: -2})
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range want {
			for i := range list {
				list[i].Objectness = 0
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", rank, got, want)
		}
	}
	for what, stored := range map[string]Stored{
		"no objectness": bare,
		"too little":    {Embeddings: stored.Embeddings, Objectness: stored.Objectness[:3]},
		"no embeddings": {Objectness: stored.Objectness},
		"half a row":    {Embeddings: stored.Embeddings[1:], Objectness: stored.Objectness},
	} {
		if _, err := d.MatchStored(t.Context(), stored, rows, q, Params{}); !errors.Is(err, ErrOption) {
			t.Errorf("%s: %v, want ErrOption", what, err)
		}
	}
	if got, err := d.MatchStored(t.Context(), Stored{}, rows, q, Params{}); err != nil || len(got) != 2 {
		t.Errorf("none stored: %v (%v), want two empty lists", got, err)
	}
}

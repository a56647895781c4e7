package agreement

import (
	"math"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

func at(x float32, score float32) Scored {
	return Scored{box.Box{X0: x, Y0: 0, X1: x + 10, Y1: 10}, score}
}

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: got nothing, want %v", what, want)
	} else if math.Abs(*got-want) > 1e-6 {
		t.Errorf("%s: got %v, want %v", what, *got, want)
	}
}

func TestTheSameAgreesWholly(t *testing.T) {
	list := [][]Scored{{at(0, 0.9), at(20, 0.5)}, {at(20, 0.8), at(0, 0.1)}}
	c := New([]string{"dog", "cup"}, 1)
	c.Add(Picture{
		EmbeddingsA: [][]float32{{1, 0}, {0.6, 0.8}}, EmbeddingsB: [][]float32{{1, 0}, {0.6, 0.8}},
		RanksA: list, RanksB: list, FoundA: list, FoundB: list,
	})
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	if r.Pictures != 1 || r.Boxes != 2 || r.TopK != 1 {
		t.Errorf("got %d pictures, %d boxes, top %d; want 1, 2 and 1", r.Pictures, r.Boxes, r.TopK)
	}
	near(t, "mean cosine", r.CosineMean, 1)
	near(t, "least cosine", r.CosineLeast, 1)
	for _, q := range append(r.Queries, r.All) {
		for what, got := range map[string]*float64{"top-1": q.Top1, "top-k": q.TopK, "found": q.Found, "AP": q.AP, "AP50": q.AP50} {
			near(t, q.Name+": "+what, got, 1)
		}
		near(t, q.Name+": score", q.ScoreMost, 0)
	}
}

func TestDifferencesAreCounted(t *testing.T) {
	c := New([]string{"dog", "cup"}, 2)
	c.Add(Picture{
		EmbeddingsA: [][]float32{{1, 0}, {1, 0}, {1, 0}, {1, 0}}, EmbeddingsB: [][]float32{{1, 0}, {0.6, 0.8}, {1, 0}, {1, 0}},
		// The best box is another, and one of the two best.
		RanksA: [][]Scored{{at(0, 0.9), at(20, 0.5), at(40, 0.4)}, nil},
		RanksB: [][]Scored{{at(40, 0.8), at(0, 0.7), at(20, 0.6)}, nil},
		// B's first box overlaps A's first by an IoU of 9/11, and nothing is near A's second.
		FoundA: [][]Scored{{at(0, 0.9), at(20, 0.5)}, nil},
		FoundB: [][]Scored{{at(1, 0.8), at(60, 0.6)}, nil},
	})
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean cosine", r.CosineMean, 0.9)
	near(t, "least cosine", r.CosineLeast, 0.6)
	dog, cup := r.Queries[0], r.Queries[1]
	near(t, "top-1", dog.Top1, 0)
	near(t, "top-k", dog.TopK, 0.5)
	near(t, "score mean", dog.ScoreMean, (0.2+0.1+0.4)/3)
	near(t, "score most", dog.ScoreMost, 0.4)
	near(t, "found", dog.Found, 0.5)
	// One of two truths is found by the best detection: precision 1 up to a recall of
	// 0.5, which is 51 of 101 points.
	near(t, "AP50", dog.AP50, 51.0/101)
	for what, got := range map[string]*float64{"top-1": cup.Top1, "top-k": cup.TopK, "score": cup.ScoreMean, "found": cup.Found, "AP": cup.AP} {
		if got != nil {
			t.Errorf("%s of a query without boxes: got %v, want nothing", what, *got)
		}
	}
}

func TestABoxIsTakenOnce(t *testing.T) {
	if got := foundInTheOther([]Scored{at(0, 0.9), at(1, 0.8)}, []Scored{at(0, 0.9)}); got != 1 {
		t.Errorf("got %d of two near boxes found in one box, want 1", got)
	}
}

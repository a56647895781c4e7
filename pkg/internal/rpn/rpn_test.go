package rpn

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

func load(t *testing.T, file model.File) (*torch.Engine, *Network) {
	t.Helper()
	engine := torchtest.Start(t)
	var network *Network
	if err := engine.Do(t.Context(), func(s *torch.Scope) (err error) {
		network, err = Load(s, file)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return engine, network
}

// The golden batch holds two pictures, the smaller one padded with noise, and what
// Python proposed for both at once (torchscript/tiny.py).
func TestProposalsEqualPythons(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/models/tiny/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ RPN model.KnownAnswer }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	file := torchtest.Tiny(t).RPN
	known := file.Manifest.KnownAnswer // complete, as Generate wants it
	known.Seed, known.Inputs = golden.RPN.Seed, golden.RPN.Inputs
	inputs, err := known.Generate()
	if err != nil {
		t.Fatal(err)
	}
	engine, network := load(t, file)
	literal := inputs[1].Data.([]int64)
	sizes := []Size{{int(literal[0]), int(literal[1])}, {int(literal[2]), int(literal[3])}}
	var all, best [][]Proposal
	if err := engine.Do(t.Context(), func(s *torch.Scope) (err error) {
		batch := torch.Upload(s, inputs[0].Data.([]uint8), inputs[0].Shape...)
		if all, err = network.Propose(s, batch, sizes, 0); err != nil {
			return err
		}
		best, err = network.Propose(s, batch, sizes, 3)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rows := golden.RPN.Outputs[0]
	for i, proposals := range all {
		if want := int(golden.RPN.Outputs[1].Values[i]); len(proposals) != want {
			t.Fatalf("picture %d: %d proposals, want %d", i, len(proposals), want)
		}
		if !slices.Equal(best[i], proposals[:3]) {
			t.Errorf("picture %d: the best 3 are %v, not the first of all", i, best[i])
		}
		for k, p := range proposals {
			want := rows.Values[(i*int(rows.Shape[1])+k)*columns:][:columns]
			for j, got := range []float32{p.Box.X0, p.Box.Y0, p.Box.X1, p.Box.Y1} {
				if math.Abs(float64(got)-want[j]) > 0.01 {
					t.Errorf("picture %d, proposal %d: edge %d is %v, want %v within 0.01 px", i, k, j, got, want[j])
				}
			}
			if math.Abs(float64(p.Objectness)-want[4]) > 1e-5 {
				t.Errorf("picture %d, proposal %d: objectness %v, want %v within 1e-5", i, k, p.Objectness, want[4])
			}
			if p.Box != p.Box.Clip(sizes[i].Width, sizes[i].Height) || p.Box == (box.Box{}) {
				t.Errorf("picture %d, proposal %d: %v leaves the picture", i, k, p.Box)
			}
			if k > 0 && p.Objectness > proposals[k-1].Objectness {
				t.Errorf("picture %d: proposal %d is better than the one before", i, k)
			}
		}
	}
}

func TestAnotherModelsOutputIsRefused(t *testing.T) {
	// three gives three tensors; a tower takes one argument.
	for _, path := range []string{"../../../testdata/models/odd/three.pt", torchtest.Tiny(t).Image.Path} {
		engine, network := load(t, model.File{Path: path, Manifest: model.Manifest{Kind: model.RPN}})
		err := engine.Do(t.Context(), func(s *torch.Scope) error {
			_, err := network.Propose(s, torch.Upload(s, make([]uint8, 3*8*8), 1, 3, 8, 8), []Size{{8, 8}}, 0)
			return err
		})
		if !errors.Is(err, torch.ErrLibtorch) && !errors.Is(err, ErrOutput) {
			t.Errorf("%s: got %v, want an error of the call or of its output", path, err)
		}
	}
}

func TestLoadRefusesAnotherKind(t *testing.T) {
	err := torchtest.Start(t).Do(t.Context(), func(s *torch.Scope) error {
		_, err := Load(s, torchtest.Tiny(t).Text)
		return err
	})
	if !errors.Is(err, model.ErrMismatch) {
		t.Errorf("a text tower: got %v, want model.ErrMismatch", err)
	}
}

func TestWithin(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	size := Size{Height: 20, Width: 30}
	for _, test := range []struct {
		row  []float32
		want bool
	}{
		{[]float32{0, 0, 30, 20, 1}, true},
		{[]float32{-0.5, 3, 30.5, 3, 0}, true},
		{[]float32{0, 0, 20, 30, 1}, false},
		{[]float32{9, 0, 3, 20, 1}, false},
		{[]float32{nan, 0, 3, 20, 1}, false},
		{[]float32{0, 0, nan, 20, 1}, false},
		{[]float32{0, 0, 3, inf, 1}, false},
		{[]float32{0, 0, 3, 20, nan}, false},
		{[]float32{0, 0, 3, 20, 1.1}, false},
	} {
		if got := within(test.row, size); got != test.want {
			t.Errorf("within(%v, %+v) is %t, want %t", test.row, size, got, test.want)
		}
	}
}

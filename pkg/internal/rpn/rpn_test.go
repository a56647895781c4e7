package rpn

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

func load(t *testing.T, file archive.File) (*torch.Engine, *Network) {
	t.Helper()
	network, err := New(file)
	if err != nil {
		t.Fatal(err)
	}
	return torchtest.Start(t), network
}

// propose finds and reads the proposals of a batch.
func propose(s *torch.Scope, n *Network, batch torch.Tensor, sizes []Size, limit int) (all []Proposals, found []Found, err error) {
	if found, err = n.Propose(s, batch, sizes, limit); err != nil {
		return nil, nil, err
	}
	for i, f := range found {
		numbers := torch.Download[float32](s, f.Numbers(s))
		if err := s.Err(); err != nil {
			return nil, nil, err
		}
		p, err := n.Read(f, numbers, sizes[i])
		if err != nil {
			return nil, nil, err
		}
		all = append(all, p)
	}
	return all, found, nil
}

// TestProposalsEqualPythons compares proposals with Python's (testdata/make/tiny.py), for
// a batch of two pictures. The smaller is padded with noise.
func TestProposalsEqualPythons(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/models/tiny/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ RPN archive.KnownAnswer }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	file := torchtest.Tiny(t).RPN
	known := file.Manifest.KnownAnswer // Generate requires a complete one
	known.Seed, known.Inputs = golden.RPN.Seed, golden.RPN.Inputs
	inputs, err := known.Generate()
	if err != nil {
		t.Fatal(err)
	}
	engine, network := load(t, file)
	literal := inputs[1].Data.([]int64)
	sizes := []Size{{int(literal[0]), int(literal[1])}, {int(literal[2]), int(literal[3])}}
	var all, best []Proposals
	var onDevice []float32
	if err := engine.Do(t.Context(), func(s *torch.Scope) (err error) {
		batch := torch.Upload(s, inputs[0].Data.([]uint8), inputs[0].Shape...)
		if all, _, err = propose(s, network, batch, sizes, 0); err != nil {
			return err
		}
		var found []Found
		if best, found, err = propose(s, network, batch, sizes, 3); err != nil {
			return err
		}
		onDevice = torch.Download[float32](s, found[1].Objectness(s))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows := golden.RPN.Outputs[0]
	for i, proposals := range all {
		if want := int(golden.RPN.Outputs[1].Values[i]); len(proposals.Boxes) != want {
			t.Fatalf("picture %d: %d proposals, want %d", i, len(proposals.Boxes), want)
		}
		if !slices.Equal(best[i].Boxes, proposals.Boxes[:3]) || !slices.Equal(best[i].Objectness, proposals.Objectness[:3]) {
			t.Errorf("picture %d: the best 3 are %v, not the first of all", i, best[i])
		}
		for k, b := range proposals.Boxes {
			objectness := proposals.Objectness[k]
			want := rows.Values[(i*int(rows.Shape[1])+k)*columns:][:columns]
			for j, got := range []float32{b.X0, b.Y0, b.X1, b.Y1} {
				if math.Abs(float64(got)-want[j]) > 0.01 {
					t.Errorf("picture %d, proposal %d: edge %d is %v, want %v within 0.01 px", i, k, j, got, want[j])
				}
			}
			if math.Abs(float64(objectness)-want[4]) > 1e-5 {
				t.Errorf("picture %d, proposal %d: objectness %v, want %v within 1e-5", i, k, objectness, want[4])
			}
			if b != b.Clip(sizes[i].Width, sizes[i].Height) || b == (box.Box{}) {
				t.Errorf("picture %d, proposal %d: %v leaves the picture", i, k, b)
			}
			if k > 0 && objectness > proposals.Objectness[k-1] {
				t.Errorf("picture %d: proposal %d is better than the one before", i, k)
			}
		}
	}
	if !slices.Equal(onDevice, best[1].Objectness) {
		t.Errorf("the objectness on the device is %v, want %v", onDevice, best[1].Objectness)
	}
}

// TestLargePicturesAreShrunk compares the proposals in large pictures, which Propose
// resizes, with those of the archive, which resizes the same pictures itself.
func TestLargePicturesAreShrunk(t *testing.T) {
	engine, network := load(t, torchtest.Tiny(t).RPN)
	for _, size := range []Size{{1500, 1500}, {1201, 2003}, {3001, 701}, {200, 11000}} {
		values := make([]uint8, 3*size.Height*size.Width)
		for i := range values {
			x, y := i%size.Width, i/size.Width%size.Height
			values[i] = uint8(128 + 80*math.Sin(float64(x*(1+i%3))/90)*math.Cos(float64(y)/70) + float64((x*7+y*13)%40))
		}
		var got Proposals
		var want, counts []float32
		if err := engine.Do(t.Context(), func(s *torch.Scope) error {
			picture := torch.Upload(s, values, 1, 3, int64(size.Height), int64(size.Width))
			if small, seen := network.shrink(s, picture, size); seen == size || s.Shape(small)[2] != int64(seen.Height) {
				t.Errorf("%v is not shrunk", size)
			}
			all, _, err := propose(s, network, picture, []Size{size}, 0)
			if err != nil {
				return err
			}
			got = all[0]
			module, err := network.Load(s)
			if err != nil {
				return err
			}
			out := s.Call(module, "forward", 2, picture, torch.Host(s, []int64{int64(size.Height), int64(size.Width)}, 1, 2))
			want, counts = torch.Download[float32](s, out[0]), torch.Download[float32](s, s.To(out[1], torch.Float32))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(got.Boxes) != int(counts[0]) || len(got.Boxes) == 0 {
			t.Errorf("%v: %d proposals, want %v", size, len(got.Boxes), counts)
			continue
		}
		// A pixel of the network is up to 43 of the picture, and rounding is 1e-5 of it.
		for k, b := range got.Boxes {
			row := want[columns*k:][:columns]
			for j, edge := range []float32{b.X0, b.Y0, b.X1, b.Y1, got.Objectness[k]} {
				within := 0.05
				if j == 4 {
					within = 1e-5
				}
				if math.Abs(float64(edge-row[j])) > within {
					t.Errorf("%v, proposal %d: number %d is %v, want %v within %v", size, k, j, edge, row[j], within)
				}
			}
		}
	}
}

func TestAnotherModelsOutputIsRefused(t *testing.T) {
	// three returns three tensors, and a tower takes one argument.
	for _, path := range []string{"../../../testdata/models/odd/three.pt", torchtest.Tiny(t).Image.Path} {
		engine, network := load(t, archive.File{Path: path, Manifest: archive.Manifest{Kind: archive.RPN}})
		err := engine.Do(t.Context(), func(s *torch.Scope) error {
			_, err := network.Propose(s, torch.Upload(s, make([]uint8, 3*8*8), 1, 3, 8, 8), []Size{{8, 8}}, 0)
			return err
		})
		if !errors.Is(err, torch.ErrLibtorch) && !errors.Is(err, ErrOutput) {
			t.Errorf("%s: got %v, want an error of the call or of its output", path, err)
		}
	}
}

func TestNumbersThatAreNoProposalsAreRefused(t *testing.T) {
	n := &Network{}
	f := Found{Most: 2, all: 3}
	row := []float32{1, 2, 3, 4, 0.5}
	zero := make([]float32, columns)
	nan := float32(math.NaN())
	for name, test := range map[string]struct {
		numbers []float32
		want    int // proposals, or -1
	}{
		"two":                  {slices.Concat(row, row, []float32{2}), 2},
		"one":                  {slices.Concat(row, zero, []float32{1}), 1},
		"none":                 {slices.Concat(zero, zero, []float32{0}), 0},
		"more than asked for":  {slices.Concat(row, row, []float32{3}), 2},
		"more than all":        {slices.Concat(row, row, []float32{4}), -1},
		"fewer than none":      {slices.Concat(row, row, []float32{-1}), -1},
		"a count of NaN":       {slices.Concat(row, row, []float32{nan}), -1},
		"an edge of NaN":       {slices.Concat(row, []float32{nan, 2, 3, 4, 0.5}, []float32{2}), -1},
		"outside the picture":  {slices.Concat(row, []float32{1, 2, 99, 4, 0.5}, []float32{2}), -1},
		"an objectness of two": {slices.Concat(row, []float32{1, 2, 3, 4, 2}, []float32{2}), -1},
	} {
		p, err := n.Read(f, test.numbers, Size{10, 10})
		if test.want < 0 && !errors.Is(err, ErrOutput) || test.want >= 0 && (err != nil || len(p.Boxes) != test.want) {
			t.Errorf("%s: got %v (%v), want %d proposals", name, p, err, test.want)
		}
	}
}

// An archive that scales 300 to 640 pixels has edges at 640.00006.
func TestRoundedEdgesStayInThePicture(t *testing.T) {
	over := math.Nextafter32(640, 641)
	p, err := (&Network{}).Read(Found{Most: 1, all: 1}, []float32{-1e-5, 2, over, 400, 0.5, 1}, Size{Height: 425, Width: 640})
	if want := (box.Box{X0: 0, Y0: 2, X1: 640, Y1: 400}); err != nil || p.Boxes[0] != want {
		t.Errorf("got %v (%v), want %v", p.Boxes, err, want)
	}
}

func TestAnotherKindIsRefused(t *testing.T) {
	_, err := New(torchtest.Tiny(t).Text)
	if !errors.Is(err, archive.ErrMismatch) {
		t.Errorf("a text tower: got %v, want archive.ErrMismatch", err)
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

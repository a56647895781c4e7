package clip

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

func load(t *testing.T, file archive.File) (*torch.Engine, *Encoder) {
	t.Helper()
	encoder, err := New(file)
	if err != nil {
		t.Fatal(err)
	}
	return torchtest.Start(t), encoder
}

func TestEmbeddingsEqualPythons(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/models/tiny/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[archive.Kind]archive.KnownAnswer
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	files := torchtest.Tiny(t)
	for kind, file := range map[archive.Kind]archive.File{archive.CLIPImage: files.Image, archive.CLIPText: files.Text} {
		known := file.Manifest.KnownAnswer // Generate requires a complete one
		known.Seed, known.Inputs = golden[kind].Seed, golden[kind].Inputs
		inputs, err := known.Generate()
		if err != nil {
			t.Fatal(err)
		}
		engine, encoder := load(t, file)
		want := golden[kind].Outputs[0]
		n := int(want.Shape[0])
		for _, size := range []int{1, n, n + 5} {
			var got []float32
			if err := engine.Do(t.Context(), func(s *torch.Scope) error {
				got = torch.Download[float32](s, encoder.EncodeAll(s, n, size, func(low, high int) torch.Tensor {
					return s.Slice(upload(s, inputs[0]), 0, int64(low), int64(high))
				}))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want.Values) {
				t.Fatalf("%s in batches of %d: %d values, want %d", kind, size, len(got), len(want.Values))
			}
			for i := range got {
				if math.Abs(float64(got[i])-want.Values[i]) > 1e-5 {
					t.Errorf("%s in batches of %d: value %d is %v, want %v within 1e-5", kind, size, i, got[i], want.Values[i])
				}
			}
			for row := range n {
				length := 0.0
				for _, v := range got[row*len(got)/n : (row+1)*len(got)/n] {
					length += float64(v) * float64(v)
				}
				if math.Abs(length-1) > 1e-5 {
					t.Errorf("%s: row %d has the squared length %v, want 1", kind, row, length)
				}
			}
		}
	}
}

func upload(s *torch.Scope, a archive.Array) torch.Tensor {
	if tokens, ok := a.Data.([]int64); ok {
		return torch.Upload(s, tokens, a.Shape...)
	}
	return torch.Upload(s, a.Data.([]float32), a.Shape...)
}

func TestAnotherWidthIsRefused(t *testing.T) {
	file := torchtest.Tiny(t).Image
	file.Manifest.EmbeddingWidth++
	engine, encoder := load(t, file)
	side := int64(file.Manifest.InputSize)
	err := engine.Do(t.Context(), func(s *torch.Scope) error {
		encoder.Encode(s, torch.Upload(s, make([]float32, 3*side*side), 1, 3, side, side))
		return nil
	})
	if !errors.Is(err, ErrOutput) {
		t.Errorf("got %v, want ErrOutput", err)
	}
}

// TestHalvesABatchThatHasNoMemory has libtorch really ask for more memory than there is,
// if a batch has more than some inputs.
func TestHalvesABatchThatHasNoMemory(t *testing.T) {
	const n = 21
	file := torchtest.Tiny(t).Image
	engine, encoder := load(t, file)
	side := int64(file.Manifest.InputSize)
	crops := make([]float32, n*3*side*side)
	for i := range crops {
		crops[i] = float32(i%251) / 251
	}
	encode := func(enough int) (rows []float32, largest int, err error) {
		err = engine.Do(t.Context(), func(s *torch.Scope) error {
			all := torch.Upload(s, crops, n, 3, side, side)
			rows = torch.Download[float32](s, encoder.EncodeAll(s, n, 64, func(low, high int) torch.Tensor {
				if high-low > enough {
					return s.Contiguous(s.Expand(torch.Upload(s, []float32{1}, 1), 1<<50))
				}
				largest = max(largest, high-low)
				return s.Slice(all, 0, int64(low), int64(high))
			}))
			return nil
		})
		return rows, largest, err
	}
	want, _, err := encode(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ enough, largest int }{{15, 8}, {5, 4}, {1, 1}} {
		got, largest, err := encode(test.enough)
		if err != nil || len(got) != len(want) || largest != test.largest {
			t.Fatalf("memory for %d: %d values in batches of at most %d, %v; want %d in %d", test.enough, len(got), largest, err, len(want), test.largest)
		}
		for i := range got {
			if math.Abs(float64(got[i]-want[i])) > 1e-5 {
				t.Errorf("memory for %d: value %d is %v, want %v within 1e-5", test.enough, i, got[i], want[i])
			}
		}
	}
	if _, _, err := encode(0); !errors.Is(err, torch.ErrOutOfMemory) {
		t.Errorf("no memory for one: got %v, want ErrOutOfMemory", err)
	}
	if _, _, err := encode(n); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestACPUEncodesBlocks(t *testing.T) {
	const n = 40
	for said, want := range map[int]int{0: block, 24: 24, 5: 5} {
		file := torchtest.Tiny(t).Image
		file.Manifest.Block = said
		engine, encoder := load(t, file)
		side, largest := int64(file.Manifest.InputSize), 0
		if err := engine.Do(t.Context(), func(s *torch.Scope) error {
			all := torch.Upload(s, make([]float32, n*3*side*side), n, 3, side, side)
			encoder.EncodeAll(s, n, 64, func(low, high int) torch.Tensor {
				largest = max(largest, high-low)
				return s.Slice(all, 0, int64(low), int64(high))
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if largest != want {
			t.Errorf("a block of %d in the manifest: %d crops at once, want %d", said, largest, want)
		}
	}
}

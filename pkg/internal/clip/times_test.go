package clip

import (
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

func TestTimePerCrop(t *testing.T) {
	file := torchtest.Tiny(t).Image
	engine, a := load(t, file)
	if err := engine.Do(t.Context(), func(s *torch.Scope) error {
		b, err := New(file)
		if err != nil {
			return err
		}
		if ofA, ofB := TimePerCrop(s, a, b); s.Err() == nil && (ofA <= 0 || ofB <= 0) {
			t.Errorf("a crop takes %v and %v, want more than nothing", ofA, ofB)
		}
		return s.Err()
	}); err != nil {
		t.Error(err)
	}
	for n := range 3 {
		if err := engine.Do(t.Context(), func(s *torch.Scope) error {
			crops := a.SampleCrops(s, n+1)
			if got := s.Shape(crops); s.Err() == nil && (got[0] != int64(n+1) || got[2] != int64(file.Manifest.InputSize) || s.DType(crops) != torch.Float32) {
				t.Errorf("%d crops are %v", n+1, got)
			}
			return s.Err()
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestTimePerCropOfATowerThatFails(t *testing.T) {
	file := torchtest.Tiny(t).Image
	engine, a := load(t, file)
	file.Manifest.EmbeddingWidth++
	if err := engine.Do(t.Context(), func(s *torch.Scope) error {
		b, err := New(file)
		if err != nil {
			return err
		}
		TimePerCrop(s, a, b)
		return s.Err()
	}); err == nil {
		t.Error("a tower that answers with another width gives no error")
	}
}

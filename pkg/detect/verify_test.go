package detect

import (
	"errors"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
)

func TestVerify(t *testing.T) {
	files := torchtest.Tiny(t)
	for _, file := range []model.File{files.RPN, files.Image, files.Text} {
		difference, err := Verify(t.Context(), file, "cpu")
		if err != nil {
			t.Errorf("%s: %v", file.Path, err)
		}
		t.Logf("%s: difference %.2g, tolerance %.2g", file.Path, difference, file.Manifest.KnownAnswer.Tolerance)
		// The same file with another seed has another answer.
		file.Manifest.KnownAnswer.Seed++
		if _, err := Verify(t.Context(), file, "cpu"); !errors.Is(err, model.ErrAnswer) {
			t.Errorf("%s: another input gives %v, want ErrAnswer", file.Path, err)
		}
	}
	half := files.RPN
	half.Manifest.DType = model.Float16
	if _, err := Verify(t.Context(), half, "cpu"); !errors.Is(err, ErrNotHere) {
		t.Errorf("float16 on a CPU: got %v, want ErrNotHere", err)
	}
	if _, err := Verify(t.Context(), files.RPN, "abacus"); !errors.Is(err, ErrDevice) {
		t.Errorf("got %v, want ErrDevice", err)
	}
}

package detect

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

func TestVerify(t *testing.T) {
	for _, name := range []string{"rpn.pt", "clip-image.pt", "clip-text.pt"} {
		difference, tolerance, err := Verify(t.Context(), tiny(), name, "cpu")
		if err != nil || !(difference <= tolerance) {
			t.Errorf("%s: difference %v of up to %v, %v", name, difference, tolerance, err)
		}
		// With another seed the inputs, and so the answer, are others.
		file, err := tiny().Archives().File(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		file.Manifest.KnownAnswer.Seed++
		if _, err := verify(t.Context(), file, torch.CPU); !errors.Is(err, model.ErrAnswer) {
			t.Errorf("%s: another input gives %v, want ErrAnswer", name, err)
		}
		file.Manifest.DType = model.Float16
		if _, err := verify(t.Context(), file, torch.CPU); !errors.Is(err, ErrNotHere) {
			t.Errorf("%s: float16 on a CPU gives %v, want ErrNotHere", name, err)
		}
	}
	if _, _, err := Verify(t.Context(), tiny(), "rpn.pt", "abacus"); !errors.Is(err, ErrDevice) {
		t.Errorf("got %v, want ErrDevice", err)
	}
	if _, _, err := Verify(t.Context(), tiny(), "none.pt", "cpu"); !errors.Is(err, model.ErrMissing) {
		t.Errorf("got %v, want model.ErrMissing", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Verify(ctx, tiny(), "rpn.pt", "cpu"); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v, want Canceled", err)
	}
}

func TestCheck(t *testing.T) {
	d := open(t, Options{})
	if err := d.Check(t.Context()); err != nil {
		t.Errorf("the tiny models' answers: %v", err)
	}
	for name, of := range map[string]*archive.File{"rpn": &d.files.RPN, "clip-image": &d.files.Image, "clip-text": &d.files.Text} {
		of.Manifest.KnownAnswer.Seed++ // another input, and so another answer
		if err := d.Check(t.Context()); !errors.Is(err, model.ErrAnswer) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s answers otherwise: got %v, want ErrAnswer that names it", name, err)
		}
		of.Manifest.KnownAnswer.Seed--
	}
	d.Close()
	if err := d.Check(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

package detect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

// Words need the text tower alone: the other models may even be gone. What needs those
// fails, and names the file.
func TestOnDemandLoadsWhatIsUsed(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/models/tiny")); err != nil {
		t.Fatal(err)
	}
	d := open(t, Options{Models: model.Dir(dir), OnDemand: true})
	for _, name := range []string{"rpn.pt", "clip-image.pt"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	q := queries(t, d, "cat", "dog")
	if _, err := d.Detect(t.Context(), scene(1, 96, 64), q, Params{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "rpn.pt") {
		t.Errorf("a picture without a network for proposals: %v", err)
	}
	if err := d.Check(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "clip-image.pt") {
		t.Errorf("the known answers without an image tower: %v", err)
	}
	if stats := d.Stats(); stats.Crops != 0 || stats.Phrases == 0 {
		t.Errorf("%d crops and %d phrases, want none and some", stats.Crops, stats.Phrases)
	}
}

func TestOnDemandAnswersTheSame(t *testing.T) {
	img := scene(2, 120, 90)
	var answers [2][]Detection
	for i, onDemand := range []bool{false, true} {
		d := open(t, Options{OnDemand: onDemand})
		result, err := d.Detect(t.Context(), img, queries(t, d, "cat", "dog"), Params{})
		if err != nil {
			t.Fatal(err)
		}
		answers[i] = result.Detections
	}
	if len(answers[0]) == 0 || !reflect.DeepEqual(answers[0], answers[1]) {
		t.Errorf("loaded at once %v, on demand %v", answers[0], answers[1])
	}
}

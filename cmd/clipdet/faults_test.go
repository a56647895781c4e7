package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/outcome"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

func TestErrorsNameTheirInput(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "jpg", Err: fs.ErrPermission}
	for _, test := range []struct {
		path string
		err  error
		want string
	}{
		{"jpg", errors.New("the directory holds no picture (.bmp, .jpg)"), "jpg: the directory holds no picture (.bmp, .jpg)"},
		{"a", errors.New("no data"), "a: no data"},
		{"jpg", denied, "open jpg: permission denied"},
		{"jpg", fmt.Errorf("not a jpg: %w", denied), "not a jpg: open jpg: permission denied"},
		{"a.png", errors.New("a.png: not a picture"), "a.png: not a picture"},
		{"a.png", &fs.PathError{Op: "open", Path: "b.png", Err: fs.ErrNotExist}, "a.png: open b.png: file does not exist"},
	} {
		if got := console.Naming(test.path, test.err); got != test.want {
			t.Errorf("%q of %q: got %q, want %q", test.err, test.path, got, test.want)
		}
	}
}

func TestAnEmptyFolderIsNamed(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("jpg", 0o755); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := clipdet(t, "detect", "-q", "dog", "--models", models, "jpg")
	if code != exit.CodeInputs || !strings.Contains(stderr, "jpg: the directory holds no picture") {
		t.Errorf("exit code %d, stderr %q; want %d and the folder's name", code, stderr, exit.CodeInputs)
	}
}

// TestARecordThatCannotBeWrittenIsItsPicturesFailure verifies that only the picture fails
// whose results the format can't hold.
func TestARecordThatCannotBeWrittenIsItsPicturesFailure(t *testing.T) {
	good := &detect.Result{Width: 4, Height: 4, Detections: []detect.Detection{{Query: "dog", Box: box.Box{X1: 1, Y1: 1}}}}
	bad := &detect.Result{Width: 4, Height: 4, Detections: []detect.Detection{{Query: "dog", Score: float32(math.NaN())}}}
	var out, said bytes.Buffer
	j := outcome.Job{Inputs: []intake.Input{{Path: "a.png"}, {Path: "b.png"}, {Path: "c.png"}}, Results: results.NewJSONLWriter(&out), Progress: console.NewProgress(&said, "", 3), Budget: intake.NewBudget(1, 1)}
	decoded := make(chan image.Image, 3)
	j.Decoded = decoded
	outcomes := func(yield func(*detect.Result, error) bool) {
		for _, result := range []*detect.Result{good, bad, good} {
			decoded <- nil
			if !yield(result, nil) {
				return
			}
		}
	}
	err := j.Run(t.Context(), outcomes)
	if exit.Code(err) != exit.CodeInputs || !strings.Contains(err.Error(), "1 of 3 pictures failed") {
		t.Errorf("got %v, want one failed picture", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], `"error":`) || !strings.Contains(lines[2], `"c.png"`) || !strings.Contains(said.String(), "b.png") {
		t.Errorf("the results are %q, and it said %q; want three, of which the second is an error", lines, said.String())
	}
}

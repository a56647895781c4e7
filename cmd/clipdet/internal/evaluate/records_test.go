package evaluate

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// TestWordsAreNoFiles verifies that a word of a flag isn't taken for a file of that name.
func TestWordsAreNoFiles(t *testing.T) {
	for flag, words := range map[string][]string{"templates": {"none", "default", "many"}, "background": {"none", "default"}} {
		for _, word := range words {
			if namesFile(flag, word) {
				t.Errorf("--%s %s is taken for a file", flag, word)
			}
		}
		if !namesFile(flag, "mine.txt") {
			t.Errorf("--%s mine.txt is taken for a word", flag)
		}
	}
	if namesFile("background", "") || namesFile("crop", "clip") || !namesFile("background", "many") {
		t.Error("files and words are mixed up")
	}
}

// TestARecordThatCannotBeKeptIsItsPicturesFailure verifies that only the picture fails
// whose record the format can't hold.
func TestARecordThatCannotBeKeptIsItsPicturesFailure(t *testing.T) {
	good := &detect.Result{Width: 4, Height: 4, Detections: []detect.Detection{{Query: "dog", Box: box.Box{X1: 1, Y1: 1}}}}
	bad := &detect.Result{Width: 4, Height: 4, Detections: []detect.Detection{{Query: "dog", Score: float32(math.NaN())}}}
	file := filepath.Join(t.TempDir(), "records.jsonl")
	records, err := openRecords(file, results.EvalHeader{})
	if err != nil {
		t.Fatal(err)
	}
	defer records.close()
	for name, result := range map[string]*detect.Result{"a.png": good, "b.png": bad} {
		if err := records.add(results.Of(name, 1, result, nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if records.found["a.png"].Error != "" || records.found["b.png"].Error == "" {
		t.Errorf("the records are %+v, want an error of b.png alone", records.found)
	}
}

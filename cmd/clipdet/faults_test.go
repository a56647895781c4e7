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
	"syscall"
	"testing"

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
		if got := naming(test.path, test.err); got != test.want {
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
	if code != exitInputs || !strings.Contains(stderr, "jpg: the directory holds no picture") {
		t.Errorf("exit code %d, stderr %q; want %d and the folder's name", code, stderr, exitInputs)
	}
}

func TestLocksThatFail(t *testing.T) {
	if err := lockProblem(syscall.EWOULDBLOCK); !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v, want it to name another process", err)
	}
	if err := lockProblem(syscall.ENOLCK); strings.Contains(err.Error(), "another process") || !errors.Is(err, syscall.ENOLCK) {
		t.Errorf("got %v, want the system's error", err)
	}
}

// A file that has the name of a word changes nothing of what an evaluation is made with.
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

// A picture whose results a format can't hold fails alone.
func TestARecordThatCannotBeWrittenIsItsPicturesFailure(t *testing.T) {
	good := &detect.Result{Width: 4, Height: 4, Detections: []detect.Detection{{Query: "dog", Box: box.Box{X1: 1, Y1: 1}}}}
	bad := &detect.Result{Width: 4, Height: 4, Detections: []detect.Detection{{Query: "dog", Score: float32(math.NaN())}}}
	var out, said bytes.Buffer
	j := job{inputs: []input{{path: "a.png"}, {path: "b.png"}, {path: "c.png"}}, results: results.NewJSONLWriter(&out), progress: newProgress(&said, "", 3), room: newRoom(1, 1)}
	j.decoded = make(chan image.Image, 3)
	outcomes := func(yield func(*detect.Result, error) bool) {
		for _, result := range []*detect.Result{good, bad, good} {
			j.decoded <- nil
			if !yield(result, nil) {
				return
			}
		}
	}
	err := j.run(t.Context(), outcomes)
	var f *failure
	if !errors.As(err, &f) || f.code != exitInputs || !strings.Contains(err.Error(), "1 of 3 pictures failed") {
		t.Errorf("got %v, want one failed picture", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], `"error":`) || !strings.Contains(lines[2], `"c.png"`) || !strings.Contains(said.String(), "b.png") {
		t.Errorf("the results are %q, and it said %q; want three, of which the second is an error", lines, said.String())
	}
	file := filepath.Join(t.TempDir(), "records.jsonl")
	records, err := openRecords(file, evalHeader{})
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

package detect

import (
	"archive/zip"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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

// A file that changes after Open is checked again, so that it doesn't answer wrong in
// silence. One that was only touched is the same.
func TestOnDemandChecksWhatChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, path string)
		want   error
	}{
		"a byte of the weights": {spoil, model.ErrDamaged},
		"another sound archive": {func(t *testing.T, path string) {
			exchange(t, "../../testdata/models/faulty/clip-text.pt", path)
		}, model.ErrMismatch},
		"a file of the same content": {func(t *testing.T, path string) {
			exchange(t, "../../testdata/models/tiny/clip-text.pt", path)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("../../testdata/models/tiny")); err != nil {
				t.Fatal(err)
			}
			d := open(t, Options{Models: model.Dir(dir), OnDemand: true})
			path := filepath.Join(dir, "clip-text.pt")
			test.change(t, path)
			for range 2 { // the file is checked in each call
				q, err := d.Queries(t.Context(), Query{Name: "cat"})
				if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want %v of %s", err, test.want, path)
				}
				if err == nil {
					q.Close()
				}
			}
		})
	}
}

// spoil changes a byte of the largest record of an archive.
func spoil(t *testing.T, path string) {
	t.Helper()
	records, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	largest := slices.MaxFunc(records.File, func(a, b *zip.File) int { return cmp.Compare(a.CompressedSize64, b.CompressedSize64) })
	at, err := largest.DataOffset()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// exchange puts a copy of a file in the place of another.
func exchange(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
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

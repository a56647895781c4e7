package results

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// labelled writes records as YOLO's labels, and gives what ReadYOLO needs.
func labelled(t *testing.T, records []Record) (dir string, pictures map[string]Picture) {
	t.Helper()
	dir = t.TempDir()
	w, err := NewYOLOWriter(dir, []string{"dog", "bike"})
	if err != nil {
		t.Fatal(err)
	}
	pictures = map[string]Picture{}
	var names Names
	for _, r := range records {
		pictures[names.Of(r.Image)] = Picture{r.Image, r.Width, r.Height}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, pictures
}

func TestYOLOFiles(t *testing.T) {
	dir, _ := labelled(t, append(three(), Record{Image: "sub/none.jpg", Width: 1, Height: 1}, Record{Image: "../none.png", Width: 1, Height: 1}))
	want := map[string]string{
		"classes.txt": "dog\nbike\n",
		"labels/a & b.txt": "0 0.009375000 0.026041667 0.015625000 0.041666667 0.75\n" +
			"1 0.500000000 0.500000000 1.000000000 1.000000000 0.5\n",
		"labels/none.txt": "", "labels/none-2.txt": "", "labels/none-3.txt": "",
	}
	got := map[string]string{}
	for _, pattern := range []string{"*", "labels/*", ".*", "labels/.*", "../*.txt"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				data, err := os.ReadFile(file)
				name, relErr := filepath.Rel(dir, file)
				if err != nil || relErr != nil || info.Mode().Perm() != 0o644 {
					t.Errorf("%s: mode %v (%v, %v), want 0644", file, info.Mode(), err, relErr)
				}
				got[name] = string(data)
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestYOLORoundTrip(t *testing.T) {
	var records []Record
	for _, r := range hard() {
		if !strings.ContainsAny(r.Image, "\x00") { // no file has that
			records = append(records, r)
		}
	}
	records = append(records, Record{Image: "wide.png", Width: 65535, Height: 2, Detections: []detect.Detection{
		{Query: "bike", Box: box.Box{X0: 32767.006, Y0: 0.30000001, X1: 65534.996, Y1: 1.9999999}, Score: 0.1},
		{Query: "dog", Box: box.Box{X0: 1, Y0: 1, X1: 1, Y1: 1}, Score: -1},
	}})
	dir, pictures := labelled(t, records)
	got, err := ReadYOLO(dir, pictures, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Record{}
	for _, r := range records {
		if r.Error == "" {
			want[r.Image] = r
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d records, want %d", len(got), len(want))
	}
	// Half a unit of the ninth decimal for the centre and for half the size, and the step of a float32.
	near := func(got, want float32, side int) bool {
		return math.Abs(float64(got)-float64(want)) <= 1e-9*float64(side)+float64(math.Nextafter32(want, math.MaxFloat32)-want)
	}
	for _, g := range got {
		w := want[g.Image]
		if g.Width != w.Width || g.Height != w.Height || len(g.Detections) != len(w.Detections) {
			t.Errorf("%q: got %d x %d and %d detections, want %d x %d and %d", g.Image, g.Width, g.Height, len(g.Detections), w.Width, w.Height, len(w.Detections))
			continue
		}
		for i, d := range w.Detections {
			b, e := d.Box, g.Detections[i]
			if e.Query != d.Query || e.Score != d.Score || !near(e.Box.X0, b.X0, w.Width) || !near(e.Box.X1, b.X1, w.Width) ||
				!near(e.Box.Y0, b.Y0, w.Height) || !near(e.Box.Y1, b.Y1, w.Height) {
				t.Errorf("%q, detection %d: got %+v, want %+v", g.Image, i+1, e, d)
			}
		}
	}
}

// TestYOLOStaysInItsFolder has links that lead out of it where files are written and read.
func TestYOLOStaysInItsFolder(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.txt")
	if err := os.WriteFile(outside, []byte("0 .5 .5 1 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, pictures := labelled(t, three())
	link := filepath.Join(dir, "labels", "none.txt")
	if err := errors.Join(os.Remove(link), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadYOLO(dir, pictures, Limits{}); err == nil {
		t.Errorf("a link out of the folder was read: %+v", got)
	}
	w, err := NewYOLOWriter(dir, []string{"dog", "bike"})
	if err == nil {
		err = w.Write(Record{Image: "/etc/../../none.png", Width: 1, Height: 1})
	}
	if data, readErr := os.ReadFile(outside); err != nil || readErr != nil || len(data) == 0 {
		t.Errorf("writing gave %v, and the file outside has %q (%v), want what it had", err, data, readErr)
	}
	if data, err := os.ReadFile(link); err != nil || len(data) != 0 {
		t.Errorf("the label file has %q (%v), want none", data, err)
	}
}

// TestYOLOKeepsLabelsFromOtherClasses holds that no label of an earlier run comes to stand for another class.
func TestYOLOKeepsLabelsFromOtherClasses(t *testing.T) {
	dir, pictures := labelled(t, three())
	want, err := ReadYOLO(dir, pictures, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, classes := range [][]string{{"bike", "dog"}, {"dog"}, {"dog", "bike", "cat"}} {
		if _, err := NewYOLOWriter(dir, classes); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q beside labels of others: got %v, want fs.ErrExist that names the folder", classes, err)
		}
	}
	if got, err := ReadYOLO(dir, pictures, Limits{}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the labels are %+v (%v) afterwards, want %+v", got, err, want)
	}
	for name := range pictures {
		if err := os.Remove(filepath.Join(dir, "labels", name+".txt")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if _, err := NewYOLOWriter(dir, []string{"cat"}); err != nil {
		t.Errorf("without labels: got %v", err)
	}
}

package results

import (
	"errors"
	"fmt"
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

// labelled writes records as labels of the classes dog and bike into a new folder.
func labelled(t *testing.T, records []Record) (dir string) {
	t.Helper()
	dir = t.TempDir()
	w, err := NewYOLOWriter(dir, "", []string{"dog", "bike"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filesBelow returns the texts of the files in a folder of labels and beside it, by name.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		info, infoErr := entry.Info()
		name, relErr := filepath.Rel(dir, path)
		if err := errors.Join(err, infoErr, relErr); err != nil {
			return err
		}
		if info.Mode().Perm() != 0o644 {
			t.Errorf("%s: mode %v, want 0644", path, info.Mode())
		}
		texts[name] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if outside, err := filepath.Glob(filepath.Join(dir, "../*.txt")); err != nil || len(outside) > 0 {
		t.Errorf("outside of the folder there is %q (%v)", outside, err)
	}
	return texts
}

func TestYOLOFiles(t *testing.T) {
	dir := labelled(t, append(three(), Record{Image: "sub/none.jpg", Width: 1, Height: 1}, Record{Image: "../none.png", Width: 1, Height: 1}))
	want := map[string]string{
		"classes.txt": "dog\nbike\n",
		"labels/a & b.txt": "0 0.009375000 0.026041667 0.015625000 0.041666667 0.75\n" +
			"1 0.500000000 0.500000000 1.000000000 1.000000000 0.5\n",
		"labels/none.txt": "", "labels/sub/none.txt": "", "labels/none-2.txt": "",
	}
	if got := filesBelow(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestYOLOMirrorsFolders checks that labels pair with pictures as Ultralytics pairs them,
// and that none is lost.
func TestYOLOMirrorsFolders(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		root   string
		images []string
		want   []string // below labels, without .txt
	}{
		{"", []string{"images/train/a.jpg", "images/val/a.jpg", "set/images/train/b.jpg", "images/a.jpg"}, []string{"train/a", "val/a", "train/b", "a"}},
		{"", []string{"/d/images/x/images/y/a.jpg", "myimages/a.jpg", "images.jpg", "images"}, []string{"y/a", "myimages/a", "images", "images-2"}},
		{"", []string{"x/images/../a.jpg", "images/../../../a.jpg", "images/train/../../up.jpg"}, []string{"x/a", "a", "up"}},
		{"", []string{"a/b.jpg", "a/b.png", "A/B.jpg", "c/b.jpg", "./a//b.jpg"}, []string{"a/b", "a/b-2", "A/B-3", "c/b", "a/b-4"}},
		{"photos", []string{"photos/a.jpg", "photos/x/a.jpg", filepath.Join(here, "photos/x/b.jpg"), "other/a.jpg", "../a.jpg", "/a.jpg"},
			[]string{"a", "x/a", "x/b", "a-2", "a-3", "a-4"}},
		{"/p", []string{"/p/q/a.jpg", "-", "https://h.org/images/train/a.jpg", "/p/q/m.gif#frame=2"}, []string{"q/a", "stdin", "a", "q/m-frame2"}},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		w, err := NewYOLOWriter(dir, test.root, []string{"dog"})
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range test.images {
			if err := w.Write(Record{Image: image, Width: 1, Height: 1}); err != nil {
				t.Errorf("root %q: %v", test.root, err)
			}
		}
		want := map[string]string{"classes.txt": "dog\n"}
		for _, name := range test.want {
			want["labels/"+name+".txt"] = ""
		}
		if got := filesBelow(t, dir); !reflect.DeepEqual(got, want) {
			t.Errorf("root %q, %q: got %q\nwant %q", test.root, test.images, got, want)
		}
	}
}

// readYOLO reads the text of a picture's label file.
func readYOLO(t *testing.T, text string, classes []string, width, height int) []detect.Detection {
	t.Helper()
	var found []detect.Detection
	for line := range strings.Lines(text) {
		var class int
		var cx, cy, w, h float64
		var score float32
		if _, err := fmt.Sscanf(line, "%d %g %g %g %g %g\n", &class, &cx, &cy, &w, &h, &score); err != nil {
			t.Fatalf("yolo: %v in %q", err, line)
		}
		across, down := float64(width), float64(height)
		found = append(found, detect.Detection{Query: classes[class], Score: score, Box: box.Box{
			X0: float32((cx - w/2) * across), Y0: float32((cy - h/2) * down),
			X1: float32((cx + w/2) * across), Y1: float32((cy + h/2) * down),
		}})
	}
	return found
}

func TestYOLORoundTrip(t *testing.T) {
	var records []Record
	for _, r := range hard() {
		if !strings.ContainsAny(r.Image, "\x00") { // no file name has it
			records = append(records, r)
		}
	}
	records = append(records, Record{Image: "wide.png", Width: 65535, Height: 2, Detections: []detect.Detection{
		{Query: "bike", Box: box.Box{X0: 32767.006, Y0: 0.30000001, X1: 65534.996, Y1: 1.9999999}, Score: 0.1},
		{Query: "dog", Box: box.Box{X0: 1, Y0: 1, X1: 1, Y1: 1}, Score: -1},
	}})
	texts := filesBelow(t, labelled(t, records))
	// Half of the ninth decimal's unit for the centre and for half the size, and one step
	// of a float32.
	near := func(got, want float32, side int) bool {
		return math.Abs(float64(got)-float64(want)) <= 1e-9*float64(side)+float64(math.Nextafter32(want, math.MaxFloat32)-want)
	}
	var names Names
	for _, r := range records {
		file := "labels/" + names.Of(r.Image) + ".txt"
		text, written := texts[file]
		delete(texts, file)
		if written != (r.Error == "") {
			t.Errorf("%q, error %q: has a file is %v", r.Image, r.Error, written)
		}
		found := readYOLO(t, text, []string{"dog", "bike"}, r.Width, r.Height)
		if len(found) != len(r.Detections) {
			t.Errorf("%q: got %d detections, want %d", r.Image, len(found), len(r.Detections))
			continue
		}
		for i, d := range r.Detections {
			b, e := d.Box, found[i]
			if e.Query != d.Query || e.Score != d.Score || !near(e.Box.X0, b.X0, r.Width) || !near(e.Box.X1, b.X1, r.Width) ||
				!near(e.Box.Y0, b.Y0, r.Height) || !near(e.Box.Y1, b.Y1, r.Height) {
				t.Errorf("%q, detection %d: got %+v, want %+v", r.Image, i+1, e, d)
			}
		}
	}
	if len(texts) != 1 {
		t.Errorf("got also %q, want classes.txt alone", texts)
	}
}

// TestYOLOStaysInItsFolder writes to a name that is a link out of the folder.
func TestYOLOStaysInItsFolder(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.txt")
	if err := os.WriteFile(outside, []byte("0 .5 .5 1 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := labelled(t, three())
	link := filepath.Join(dir, "labels", "none.txt")
	if err := errors.Join(os.Remove(link), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	w, err := NewYOLOWriter(dir, "", []string{"dog", "bike"})
	if err == nil {
		err = w.Write(Record{Image: "/etc/../../none.png", Width: 1, Height: 1})
	}
	if data, readErr := os.ReadFile(outside); err != nil || readErr != nil || len(data) == 0 {
		t.Errorf("writing gave %v, and the file outside has %q (%v), want what it had", err, data, readErr)
	}
	if data, err := os.ReadFile(link); err != nil || len(data) != 0 {
		t.Errorf("the label file has %q (%v), want none", data, err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "labels", "sub")); err != nil {
		t.Fatal(err)
	}
	err = w.Write(Record{Image: "sub/outside.png", Width: 1, Height: 1})
	if data, readErr := os.ReadFile(outside); err == nil || readErr != nil || len(data) == 0 {
		t.Errorf("below a link out: writing gave %v, and the file outside has %q (%v), want an error and what it had", err, data, readErr)
	}
}

// TestYOLOKeepsLabelsFromOtherClasses checks that the labels of an earlier run keep their
// classes.
func TestYOLOKeepsLabelsFromOtherClasses(t *testing.T) {
	dir := labelled(t, []Record{{Image: "sub/none.png", Width: 1, Height: 1}})
	want := filesBelow(t, dir)
	for _, classes := range [][]string{{"bike", "dog"}, {"dog"}, {"dog", "bike", "cat"}} {
		if _, err := NewYOLOWriter(dir, "", classes); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q beside labels of others: got %v, want fs.ErrExist that names the folder", classes, err)
		}
	}
	if got := filesBelow(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("the files are %q afterwards, want %q", got, want)
	}
	for name := range want {
		if name == "classes.txt" {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewYOLOWriter(dir, "", []string{"cat"}); err != nil {
		t.Errorf("without labels: got %v", err)
	}
}

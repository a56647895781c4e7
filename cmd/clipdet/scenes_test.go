package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/box"
)

// regression has 24 scenes of 80 things, in styles that the built-in CLIP was trained on
// and in one style that was left out.
const regression = "../../testdata/scenes"

// annotated is a pictogram in a scene.
type annotated struct {
	file, name, style string
	box               box.Box
}

// annotations reads COCO instances. It returns the objects in the order of the file and
// the name of every category.
func annotations(t *testing.T, folder string) (objects []annotated, names []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "instances.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth struct {
		Images []struct {
			ID       int    `json:"id"`
			FileName string `json:"file_name"`
		} `json:"images"`
		Annotations []struct {
			ImageID    int        `json:"image_id"`
			CategoryID int        `json:"category_id"`
			BBox       [4]float32 `json:"bbox"` // x, y, width, height
			Style      string     `json:"style"`
		} `json:"annotations"`
		Categories []struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		} `json:"categories"`
	}
	if err := json.Unmarshal(data, &truth); err != nil {
		t.Fatal(err)
	}
	name, file := map[int]string{}, map[int]string{}
	for _, c := range truth.Categories {
		name[c.ID] = c.Name
		names = append(names, c.Name)
	}
	for _, image := range truth.Images {
		file[image.ID] = image.FileName
	}
	for _, a := range truth.Annotations {
		x, y, w, h := a.BBox[0], a.BBox[1], a.BBox[2], a.BBox[3]
		at := box.Box{X0: x, Y0: y, X1: x + w, Y1: y + h}
		objects = append(objects, annotated{file[a.ImageID], name[a.CategoryID], a.Style, at})
	}
	return objects, names
}

// TestFindsWhatTheSampleScenesContain asks for everything in each scene by the names of
// the annotations. One of the 43 may be missed: a camera has an IoU of 0.49.
func TestFindsWhatTheSampleScenesContain(t *testing.T) {
	measures(t)
	objects, _ := annotations(t, scenes)
	in := map[string][]annotated{}
	for _, o := range objects {
		in[o.file] = append(in[o.file], o)
	}
	var missed []string
	for file, wanted := range in {
		args := []string{"detect", filepath.Join(scenes, file)}
		asked := map[string]bool{}
		for _, o := range wanted {
			if !asked[o.name] {
				asked[o.name] = true
				args = append(args, "-q", o.name)
			}
		}
		code, stdout, stderr := clipdet(t, args...)
		if code != exit.CodeDone || stderr != "" {
			t.Fatalf("%q: exit code %d, stderr %q; want 0 and nothing", args, code, stderr)
		}
		found := parse[picture](t, stdout)
		for _, o := range wanted {
			best := 0.0
			for _, d := range found.Detections {
				if d.Query == o.name {
					best = max(best, d.Box.IoU(o.box))
				}
			}
			if best < 0.5 {
				missed = append(missed, fmt.Sprintf("%s: %q at %v: best IoU %.2f, want at least 0.5", file, o.name, o.box, best))
			}
		}
	}
	if len(missed) > 1 {
		t.Error(strings.Join(missed, "\n"))
	}
}

// TestBuiltInModelsAreAsGoodAsTheyWere asks every scene for all 80 names and checks the
// best box of each name that is present.
func TestBuiltInModelsAreAsGoodAsTheyWere(t *testing.T) {
	measures(t)
	objects, names := annotations(t, regression)
	args := []string{"detect", filepath.Join(regression, "*.jpg"), "--threshold", "0", "--top-k", "1"}
	for _, name := range names {
		args = append(args, "-q", name)
	}
	code, stdout, stderr := clipdet(t, args...)
	if code != exit.CodeDone || withoutPace(stderr) != "" {
		t.Fatalf("exit code %d, stderr %q; want 0 and nothing", code, stderr)
	}
	best := map[[2]string]box.Box{}
	for _, p := range parse[[]picture](t, stdout) {
		for _, d := range p.Detections {
			best[[2]string{filepath.Base(p.Image), d.Query}] = d.Box
		}
	}
	// least is the smallest accepted share of present names whose best box is right. It
	// is a few points below the measured share.
	for _, set := range []struct {
		kind  string
		least float64
		of    func(style string) bool
	}{
		{"styles trained on", 0.90, func(style string) bool { return style != "fxemoji" }},
		{"a style left out", 0.80, func(style string) bool { return style == "fxemoji" }},
	} {
		right, total := 0, 0
		for _, o := range objects {
			if !set.of(o.style) {
				continue
			}
			total++
			if best[[2]string{o.file, o.name}].IoU(o.box) >= 0.5 {
				right++
			} else {
				t.Logf("%s: %q (%s) at %v was missed", o.file, o.name, o.style, o.box)
			}
		}
		share := float64(right) / float64(total)
		t.Logf("%s: %d of %d right (%.3f)", set.kind, right, total, share)
		if share < set.least {
			t.Errorf("%s: %d of %d present names have their best box in place (%.3f), want %.2f", set.kind, right, total, share, set.least)
		}
	}
}

// measures leaves a test out of short runs: it measures how good the models are, which takes
// long, and is the same with the race detector.
func measures(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it measures how good the models are")
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/calibration"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// calibrated runs calibrate with the tiny models and returns the calibration on stdout.
func calibrated(t *testing.T, code int, says string, args ...string) calibration.Calibration {
	t.Helper()
	got, stdout, stderr := clipdet(t, append([]string{"calibrate", "--models", tinyModels, "--proposals", "5"}, args...)...)
	if got != code || !strings.Contains(stderr, says) {
		t.Fatalf("%q: exit code %d, stderr %q; want %d and %q", args, got, stderr, code, says)
	}
	c, err := calibration.Read(strings.NewReader(stdout))
	if err != nil {
		t.Fatalf("%q: stdout can't be read: %v\n%s", args, err, stdout)
	}
	return c
}

// TestCalibrate verifies that nothing is found in the given share of the pictures, and
// that another way of scoring is refused.
func TestCalibrate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thresholds.json")
	pictures := []string{"420.jpg", "exif6.jpg", "grey.png", "lossy.webp"}
	var paths []string
	for _, name := range pictures {
		paths = append(paths, filepath.Join(formats, name))
	}
	queries := []string{"-q", "dog", "-q", "cat=a cat::2|a kitten|-a lion|@" + filepath.Join(formats, "rgb.bmp") + "#0,0,9,9"}
	for quantile, found := range map[string]int{"1": 0, "0.5": 2} {
		args := append([]string{"--out", file, "--quantile", quantile}, queries...)
		code, stdout, stderr := clipdet(t, append(append([]string{"calibrate", "--models", tinyModels, "--proposals", "5"}, args...), paths...)...)
		if code != exit.CodeDone || stdout != "" || stderr != "" {
			t.Fatalf("exit code %d, stdout %q, stderr %q; want 0 and nothing", code, stdout, stderr)
		}
		args = append(append([]string{"detect", "--models", tinyModels, "--proposals", "5", "--calibration", file, "--format", "jsonl"}, queries...), paths...)
		code, stdout, stderr = clipdet(t, args...)
		if code != exit.CodeDone {
			t.Fatalf("exit code %d, stderr %q; want 0", code, stderr)
		}
		counts := map[string]int{}
		for line := range strings.Lines(stdout) {
			named := map[string]bool{}
			for _, d := range parse[picture](t, line).Detections {
				named[d.Query] = true
			}
			for query := range named {
				counts[query]++
			}
		}
		for _, query := range []string{"dog", "cat"} {
			if counts[query] != found {
				t.Errorf("quantile %s: %q is found in %d of 4 pictures, want %d", quantile, query, counts[query], found)
			}
		}
	}
	for _, test := range []struct {
		args []string
		says string
	}{
		{append([]string{"--rank", "mean"}, queries...), "the rank: fused, not mean"},
		{append([]string{"--crop-context", "1,2"}, queries...), "the crops"},
		{append([]string{"--templates", "none"}, queries...), "the templates"},
		{append([]string{"--background", "none"}, queries...), "the background"},
		{append([]string{"--subtract-empty"}, queries...), "empty templates"},
		{append([]string{"-q", "bird"}, queries...), `no query "bird"`},
		{queries[:2], `the query "cat" too`},
		{[]string{"-q", "dog", "-q", "cat"}, `another query "cat"`},
	} {
		args := append([]string{"detect", "--models", tinyModels, "--proposals", "5", "--calibration", file}, test.args...)
		code, stdout, stderr := clipdet(t, append(args, paths[0])...)
		if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q; want %d, nothing and %q", test.args, code, stdout, stderr, exit.CodeUsage, test.says)
		}
	}
}

func TestCalibrateGoesOnAfterFailures(t *testing.T) {
	c := calibrated(t, exit.CodeInputs, "none.png", "-q", "dog", filepath.Join(formats, "420.jpg"), filepath.Join(formats, "none.png"))
	if len(c.Thresholds) != 1 || c.Thresholds[0].Pictures != 1 || c.Quantile != calibration.DefaultQuantile {
		t.Errorf("got %+v, want one threshold from one picture", c)
	}
	code, stdout, stderr := clipdet(t, "calibrate", "--models", tinyModels, "-q", "dog", filepath.Join(formats, "none.png"))
	if code != exit.CodeInputs || stdout != "" || !strings.Contains(stderr, `no picture without "dog"`) {
		t.Errorf("no picture: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestCalibrateByAnnotations verifies that a picture counts for the queries that it
// doesn't show.
func TestCalibrateByAnnotations(t *testing.T) {
	write := func(name string, v any) string {
		path := filepath.Join(t.TempDir(), name)
		data, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(path, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	type object map[string]any
	annotation := func(id, image, category int) object {
		return object{"id": id, "image_id": image, "category_id": category, "bbox": []int{1, 2, 3, 4}}
	}
	images := []object{{"id": 7, "file_name": "val/420.jpg"}, {"id": 8, "file_name": "grey.png"}, {"id": 9, "file_name": "lossy.webp"}}
	categories := []object{{"id": 1, "name": "dog"}, {"id": 3, "name": "cat"}}
	good := write("good.json", object{"images": images, "categories": categories,
		"annotations": []object{annotation(90, 1, 1), annotation(1, 7, 3), annotation(2, 7, 3), annotation(3, 8, 1)}})
	var paths []string
	for _, name := range []string{"420.jpg", "grey.png", "lossy.webp", "exif6.jpg"} {
		paths = append(paths, filepath.Join(formats, name))
	}
	queries := []string{"-q", "cat", "-q", "dog", "--rank", "cosine", "--quantile", "1"}
	c := calibrated(t, exit.CodeInputs, "1 annotations are left out: their image_id is none of the images\nclipdet: ../../testdata/formats/exif6.jpg: --annotations has no image", append(append(queries, "--annotations", good), paths...)...)
	for i, with := range [][]string{{paths[1], paths[2]}, {paths[0], paths[2]}} {
		want := calibrated(t, exit.CodeDone, "", append(queries[:len(queries):len(queries)], with...)...)
		if c.Thresholds[i] != want.Thresholds[i] {
			t.Errorf("got %+v, want %+v, as of %v alone", c.Thresholds[i], want.Thresholds[i], with)
		}
	}
	for says, v := range map[string]any{
		"0 images":             object{"images": []object{}, "categories": categories, "annotations": []object{}},
		"id occurs twice":      object{"images": images, "categories": categories, "annotations": []object{annotation(1, 7, 1), annotation(1, 8, 1)}},
		`named "cat"`:          object{"images": images, "categories": categories[:1], "annotations": []object{}},
		"not in COCO's format": []int{1},
	} {
		code, _, stderr := clipdet(t, append(append([]string{"calibrate", "--annotations", write("bad.json", v)}, queries...), paths...)...)
		if code != exit.CodeUsage || !strings.Contains(stderr, says) {
			t.Errorf("exit code %d, stderr %q; want %d and %q", code, stderr, exit.CodeUsage, says)
		}
	}
}

// TestScoringFlagsTakeEffect verifies that every flag for scores or boxes changes the
// output.
func TestScoringFlagsTakeEffect(t *testing.T) {
	dir := t.TempDir()
	walls := filepath.Join(dir, "walls.txt")
	if err := os.WriteFile(walls, []byte("# plain\na wall\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	base := []string{"detect", "--models", tinyModels, "--proposals", "40", "--threshold", "0", "--format", "csv", "--text-cache", "", "-q", "cat"}
	scene := filepath.Join(scenes, "scene-020.jpg")
	seen := map[string]string{}
	for _, flags := range []string{"-q dog", "-q dog --templates none", "-q dog --templates many", "-q dog --background none", "-q dog --background " + walls,
		"-q dog --subtract-empty", "-q dog --crop-context 1,1.5", "-q dog --rank mean", "-q dog --nms-agnostic", "-q dog --soft-nms 0.5",
		"-q dog --box-voting 0.5", "-q dog --contained 0.8", "-q dog=dog|-fog", "-q dog=dog::3|hound", "-q dog=dog|hound",
		"-q dog=@" + scene, "-q dog=@" + scene + "#10,10,90,90", "-q dog=dog|@" + scene} {
		code, stdout, stderr := clipdet(t, append(append(base[:len(base):len(base)], strings.Fields(flags)...), scene)...)
		if code != exit.CodeDone || stderr != "" {
			t.Errorf("%s: exit code %d, stderr %q", flags, code, stderr)
		}
		if before, ok := seen[stdout]; ok {
			t.Errorf("%q gives the same as %q", flags, before)
		}
		seen[stdout] = flags
		if _, example, shown := strings.Cut(flags, "=@"); shown && !strings.Contains(stdout, "@"+example) {
			t.Errorf("%s: no detection names the example:\n%s", flags, stdout)
		}
	}
	plain := clipdetOut(t, append(base[:len(base):len(base)], "-q", "dog", scene))
	if words := clipdetOut(t, append(base[:len(base):len(base)], "-q", "dog", "--templates", "default", "--background", "default", scene)); words != plain {
		t.Error("the word default changes the results")
	}
}

func clipdetOut(t *testing.T, args []string) string {
	t.Helper()
	code, stdout, stderr := clipdet(t, args...)
	if code != exit.CodeDone {
		t.Fatalf("%q: exit code %d, stderr %q", args, code, stderr)
	}
	return stdout
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// evalCase evaluates a data set of testdata/coco on testdata/images. stdout is without the
// time.
func evalCase(t *testing.T, name string) (code int, stdout, stderr string) {
	t.Helper()
	const data = "../../testdata/"
	code, stdout, stderr = clipdet(t, "eval", "--images", data+"images", "--annotations", data+"coco/"+name, "--models", tinyModels, "--proposals", "20", "--device", "cpu")
	stdout, _, _ = strings.Cut(stdout, "\nTime: ")
	return code, stdout, stderr
}

// TestEvalTakesFilesAsPeopleHaveThem has the same annotations in other forms: the table
// must be the same. pkg/eval compares the numbers with pycocotools'.
func TestEvalTakesFilesAsPeopleHaveThem(t *testing.T) {
	code, want, stderr := evalCase(t, "base.json")
	if code != exit.CodeDone || !strings.HasPrefix(want, "2 images, 14 annotations, 13 categories") {
		t.Fatalf("exit code %d\n%s%s", code, stderr, want)
	}
	for _, name := range []string{"backslash.json", "imgid-float.json", "bom.json", "nan-info.json"} {
		if code, got, stderr := evalCase(t, name); code != exit.CodeDone || got != want {
			t.Errorf("%s: exit code %d, %s\n%s\nwant the table of base.json:\n%s", name, code, stderr, got, want)
		}
	}
	for name, says := range map[string]string{
		"annid-0.json":            "annotation 0 has the id 0, of which COCO's metrics count no match",
		"subset-images-only.json": "8 annotations are left out: their image_id is none of the images",
	} {
		if code, _, stderr := evalCase(t, name); code != exit.CodeDone || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, want %q on stderr:\n%s", name, code, says, stderr)
		}
	}
	code, _, stderr = evalCase(t, "cat-no-name.json")
	if code != exit.CodeUsage || !strings.Contains(stderr, "the category with the id 1 has no name, so it can't be asked for") {
		t.Errorf("a category without a name: exit code %d\n%s", code, stderr)
	}
}

// TestGroupsOfCategories has Roboflow's category that only groups others. It isn't asked
// for, since it would take the boxes of the others: AP would fall to 0.03.
func TestGroupsOfCategories(t *testing.T) {
	dir := t.TempDir()
	const set = `{"images": [{"id": 1, "file_name": "scene-020.jpg", "width": 640, "height": 480}], "categories": [%s{"id": 5, "name": "owl", "supercategory": "owl"}],
		"annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [11, 338, 100, 104], "area": 10400, "iscrowd": 0}%s]}`
	for _, test := range []struct {
		name, categories, annotations string
		models                        []string
		starts, has                   string
		says                          bool
	}{
		{"group", `{"id": 0, "name": "owl", "supercategory": "none"},`, "", nil, "1 images, 1 annotations, 1 categories", "\nAP50   1.000", true},
		{"annotated", `{"id": 0, "name": "camera", "supercategory": "none"}, {"id": 7, "name": "box", "supercategory": "camera"},`,
			`, {"id": 2, "image_id": 1, "category_id": 0, "bbox": [354, 210, 88, 88], "area": 7744, "iscrowd": 0}`, []string{"--models", tinyModels}, "1 images, 2 annotations, 3 categories", "", false},
	} {
		path := filepath.Join(dir, test.name+".json")
		if err := os.WriteFile(path, fmt.Appendf(nil, set, test.categories, test.annotations), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"eval", "--images", scenes, "--annotations", path, "--proposals", "60", "--device", "cpu"}
		code, stdout, stderr := clipdet(t, append(args, test.models...)...)
		if says := strings.Contains(stderr, `the category "owl" isn't asked for`); code != exit.CodeDone || says != test.says {
			t.Errorf("%s: exit code %d\n%s", test.name, code, stderr)
		}
		if !strings.HasPrefix(stdout, test.starts) || !strings.Contains(stdout, test.has) {
			t.Errorf("%s: want %q and %q:\n%s", test.name, test.starts, test.has, stdout)
		}
	}
}

// withOrientation returns a JPEG of the picture with EXIF that states an orientation.
func withOrientation(t *testing.T, picture image.Image, orientation byte) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	segment := []byte("\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	segment[28] = orientation
	return append(append([]byte("\xff\xd8"), segment...), file.Bytes()[2:]...)
}

// slope is a picture without symmetry.
func slope(width, height int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, color.RGBA{R: uint8(x * 255 / width), G: uint8(y * 255 / height), B: uint8((x/16 + y/16) % 2 * 200), A: 255})
		}
	}
	return m
}

// TestIgnoreEXIF has annotations of stored pixels.
func TestIgnoreEXIF(t *testing.T) {
	t.Chdir(t.TempDir())
	for orientation, name := range map[byte]string{3: "turned.jpg", 6: "side.jpg"} {
		if err := os.WriteFile(name, withOrientation(t, slope(96, 64), orientation), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string][2]int{"side.jpg": {64, 96}, "side.jpg --ignore-exif": {96, 64}} {
		all := append([]string{"detect", "-q", "dog", "--models", tinyPath, "--proposals", "5"}, strings.Fields(args)...)
		code, stdout, stderr := clipdet(t, all...)
		if code != exit.CodeDone {
			t.Fatalf("%s: exit code %d\n%s", args, code, stderr)
		}
		if p := parse[picture](t, stdout); p.Width != want[0] || p.Height != want[1] {
			t.Errorf("%s: %d x %d pixels, want %v", args, p.Width, p.Height, want)
		}
	}
	const set = `{"images": [{"id": 1, "file_name": %q, "width": 96, "height": 64}], "categories": [{"id": 1, "name": "dog"}],
		"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 40], "area": 1600, "iscrowd": 0}]}`
	for name, says := range map[string]string{
		"turned.jpg": "1 of the pictures, such as turned.jpg, state an orientation and were turned upright, and their size doesn't tell",
		"side.jpg":   "it is 64 x 96 pixels when upright, and its annotations are of the stored 96 x 64: measure with --ignore-exif",
	} {
		if err := os.WriteFile("set.json", fmt.Appendf(nil, set, name), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"eval", "--images", ".", "--annotations", "set.json", "--models", tinyPath, "--proposals", "5"}
		if _, _, stderr := clipdet(t, args...); !strings.Contains(stderr, says) {
			t.Errorf("%s: stderr doesn't say %q:\n%s", name, says, stderr)
		}
		if code, _, stderr := clipdet(t, append(args, "--ignore-exif")...); code != exit.CodeDone || strings.Contains(stderr, "orientation") || strings.Contains(stderr, "--ignore-exif") {
			t.Errorf("%s with --ignore-exif: exit code %d\n%s", name, code, stderr)
		}
	}
}

// TestHintOfDarkGrey checks that a picture of few bits is done and said to be dark.
func TestHintOfDarkGrey(t *testing.T) {
	code, stdout, stderr := clipdet(t, "detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", filepath.Join(formats, "grey-12bit.png"))
	if code != exit.CodeDone || !json.Valid([]byte(stdout)) || !strings.Contains(stderr, "grey-12bit.png: its 16-bit greys reach 4095 of 65535, so it looks dark here") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

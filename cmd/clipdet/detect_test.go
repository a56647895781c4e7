package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// The tiny models are real archives with random weights. They are fast, and their answers
// mean nothing.
const (
	tinyModels = "../../testdata/models/tiny"
	formats    = "../../testdata/formats"
	scenes     = "../../testdata/images"
)

// picture is an object of the json and jsonl formats.
type picture struct {
	Image      string             `json:"image"`
	Width      int                `json:"width"`
	Height     int                `json:"height"`
	Proposals  int                `json:"proposals"`
	Detections []detect.Detection `json:"detections"`
	Timings    map[string]float64 `json:"timings_ms"`
	Presence   []detect.Presence  `json:"presence"`
	Error      string             `json:"error"`
}

func parse[T any](t *testing.T, data string) T {
	t.Helper()
	var v T
	decoder := json.NewDecoder(strings.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("not the JSON that was expected: %v\n%s", err, data)
	}
	return v
}

// TestEveryFormatAndEveryFailure detects in good and bad files together. Each must have
// its object, in order, and each bad one must be named on stderr.
func TestEveryFormatAndEveryFailure(t *testing.T) {
	dir := t.TempDir()
	bad := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile(filepath.Join(formats, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	// This PNG header claims 20,000 x 20,000 pixels. The limit is 100 million.
	huge := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x4e\x20\x00\x00\x4e\x20\x08\x02\x00\x00\x00\xf4\x87\x5d\x3f")
	tests := []struct {
		path string
		says string // "": can be read
	}{
		{"palette.png", ""}, {"grey.png", ""}, {"grey-16bit.png", ""}, {"rgb-16bit.png", ""}, {"rgba.png", ""}, {"palette-clear.png", ""},
		{bad("broken.jpg", whole[:len(whole)/2]), "broken"},
		{"420-progressive.jpg", ""}, {"exif6.jpg", ""}, {"cmyk.jpg", ""}, {"lossy.webp", ""}, {"lossless-alpha.webp", ""}, {"animation.gif", ""}, {"rgb.bmp", ""},
		{bad("empty.png", nil), "empty"},
		{bad("huge.png", huge), "too large"},
		{bad("notes.txt", []byte("not a picture")), "not a picture"},
		{filepath.Join(dir, "none.png"), "no such file"},
		{filepath.Join(dir, "none*.png"), "no file matches"},
	}
	args := []string{"detect", "-q", "dog", "--format", "jsonl", "--models", tinyModels, "--proposals", "5"}
	var paths []string
	for _, test := range tests {
		path := test.path
		if !filepath.IsAbs(path) {
			path = filepath.Join(formats, path)
		}
		paths = append(paths, path)
	}
	code, stdout, stderr := clipdet(t, append(args, paths...)...)
	if code != exit.CodeInputs {
		t.Errorf("exit code %d, want %d", code, exit.CodeInputs)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != len(tests) {
		t.Fatalf("%d lines for %d inputs; stderr is\n%s", len(lines), len(tests), stderr)
	}
	for i, test := range tests {
		got := parse[picture](t, lines[i])
		if got.Image != paths[i] {
			t.Errorf("line %d is of %s, want %s", i+1, got.Image, paths[i])
		}
		if test.says != "" {
			if !strings.Contains(got.Error, test.says) || got.Width != 0 {
				t.Errorf("%s: the error is %q, want it to say %q", paths[i], got.Error, test.says)
			}
			if !strings.Contains(stderr, paths[i]) {
				t.Errorf("%s is not named on stderr:\n%s", paths[i], stderr)
			}
			continue
		}
		want, err := pixels.DecodeFile(paths[i], pixels.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Error != "" || got.Width != want.Width || got.Height != want.Height {
			t.Errorf("%s: got %d x %d and error %q, want %d x %d", paths[i], got.Width, got.Height, got.Error, want.Width, want.Height)
		}
		if strings.Contains(stderr, paths[i]) {
			t.Errorf("%s is named on stderr, but nothing is wrong with it:\n%s", paths[i], stderr)
		}
	}
}

// TestOutputs verifies that the results in --out are the results on stdout, and that each
// picture is drawn three times, in its size and under its own name.
func TestOutputs(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs(formats)
	if err != nil {
		t.Fatal(err)
	}
	tree(t, "one/", "two/")
	for to, from := range map[string]string{"one/a.jpg": "exif6.jpg", "one/b.png": "rgba.png", "two/a.png": "palette.png"} {
		data, err := os.ReadFile(filepath.Join(source, from))
		if err == nil {
			err = os.WriteFile(to, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sizes := map[string]string{"a": "one/a.jpg", "b": "one/b.png", "a-2": "two/a.png"}
	for _, format := range []string{"json", "jsonl", "coco", "coco-results", "csv"} {
		out := filepath.Join("found", format)
		code, stdout, stderr := clipdet(t, "detect", "-q", "dog", "-q", "cat", "--models", models, "--proposals", "5", "--threshold", "0",
			"--top-k", "2", "--format", format, "--out", out, "--pictures", "one", "two")
		if code != exit.CodeDone || stderr != "" {
			t.Fatalf("%s: exit code %d, stderr %q; want 0 and nothing", format, code, stderr)
		}
		name := "detections." + format
		if strings.HasPrefix(format, "coco") {
			name += ".json"
		}
		written, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || string(written) != stdout {
			t.Errorf("%s: %s does not hold what stdout has (%v)", format, name, err)
		}
		rows := 0
		switch format {
		case "json":
			for _, p := range parse[[]picture](t, stdout) {
				rows += len(p.Detections)
				for _, stage := range []string{"upload", "rpn", "crop", "encode", "rank", "download"} {
					if _, ok := p.Timings[stage]; !ok {
						t.Errorf("%s: timings_ms of %s has no %s", format, p.Image, stage)
					}
				}
			}
		case "jsonl":
			for line := range strings.Lines(stdout) {
				rows += len(parse[picture](t, line).Detections)
			}
		case "coco":
			d, err := eval.ReadDataset(strings.NewReader(stdout), eval.Limits{})
			if err != nil {
				t.Fatalf("%v in\n%s", err, stdout)
			}
			rows = len(d.Annotations)
			for i, path := range []string{"one/a.jpg", "one/b.png", "two/a.png"} {
				if len(d.Images) != 3 || d.Images[i].ID != int64(i)+1 || d.Images[i].FileName != path || d.Images[i].Width == 0 {
					t.Errorf("coco: image %d of %+v is not %s", i+1, d.Images, path)
				}
			}
			if want := []eval.Category{{ID: 1, Name: "dog"}, {ID: 2, Name: "cat"}}; !slices.Equal(d.Categories, want) {
				t.Errorf("coco: the categories are %+v, want %+v", d.Categories, want)
			}
		case "coco-results":
			rows = len(parse[[]map[string]any](t, stdout))
		case "csv":
			table, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			rows = len(table) - 1
		}
		if rows < 1 || rows > 3*2*2 {
			t.Errorf("%s: %d detections, want 1 to 12: three pictures, two queries, --top-k 2", format, rows)
		}
		files, err := os.ReadDir(out)
		if err != nil || len(files) != 1+3*3 {
			t.Errorf("%s: %d files in --out (%v), want the results and three pictures of each of three", format, len(files), err)
		}
		for name, path := range sizes {
			want, err := pixels.DecodeFile(path, pixels.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, which := range []string{"original", "proposals", "detections"} {
				file, err := os.Open(filepath.Join(out, name+"."+which+".png"))
				if err != nil {
					t.Error(err)
					continue
				}
				got, err := png.Decode(file)
				file.Close()
				if err != nil || got.Bounds() != want.Bounds() {
					t.Errorf("%s: got bounds %v (%v), want %v", file.Name(), got.Bounds(), err, want.Bounds())
					continue
				}
				if which == "original" {
					for _, at := range [][2]int{{0, 0}, {want.Width / 2, want.Height / 3}, {want.Width - 1, want.Height - 1}} {
						gr, gg, gb, _ := got.At(at[0], at[1]).RGBA()
						wr, wg, wb, _ := want.At(at[0], at[1]).RGBA()
						if gr != wr || gg != wg || gb != wb {
							t.Errorf("%s: pixel %v is %v, want %v", file.Name(), at, got.At(at[0], at[1]), want.At(at[0], at[1]))
						}
					}
				}
			}
		}
	}
}

// TestIDs detects with the ids of a data set. Both forms of COCO must have them, and the
// names of the data set.
func TestIDs(t *testing.T) {
	data, err := filepath.Abs("../../testdata/images")
	if err != nil {
		t.Fatal(err)
	}
	tree(t, "p/val/", "other/")
	for to, from := range map[string]string{"p/val/one.jpg": "scene-020.jpg", "p/two.jpg": "scene-019.jpg", "other/far.jpg": "scene-020.jpg"} {
		if err := os.Symlink(filepath.Join(data, from), to); err != nil {
			t.Fatal(err)
		}
	}
	const names = `{"images":[{"id":42,"file_name":"val/one.jpg","width":640,"height":480},{"id":7,"file_name":"two.jpg"},{"id":8,"file_name":"far.jpg","width":480,"height":640}],
		"categories":[{"id":5,"name":"owl"},{"id":90,"name":"traffic_light"}]}`
	if err := os.WriteFile("ids.json", []byte(names), 0o600); err != nil {
		t.Fatal(err)
	}
	models, err := filepath.Abs(filepath.Join(data, "..", "..", "cmd", "clipdet", tinyModels))
	if err != nil {
		t.Fatal(err)
	}
	detect := func(more ...string) (int, string, string) {
		return clipdet(t, append([]string{"detect", "--models", models, "--proposals", "5", "--threshold", "0", "--top-k", "2", "--ids", "ids.json"}, more...)...)
	}
	asked := []string{"-q", "traffic light", "-q", "owl", "--recursive", "--format"}
	code, stdout, stderr := detect(append(asked, "coco", "p", "p/two.jpg")...)
	d, err := eval.ReadDataset(strings.NewReader(stdout), eval.Limits{})
	if err != nil || code != exit.CodeDone || stderr != "" {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stderr, stdout)
	}
	if len(d.Images) != 2 || d.Images[0].ID != 7 || d.Images[0].FileName != "two.jpg" || d.Images[1].ID != 42 || d.Images[1].FileName != "val/one.jpg" {
		t.Errorf("the images are %+v, want 7 two.jpg and 42 val/one.jpg", d.Images)
	}
	if want := []eval.Category{{ID: 90, Name: "traffic_light"}, {ID: 5, Name: "owl"}}; !slices.Equal(d.Categories, want) {
		t.Errorf("the categories are %+v, want %+v", d.Categories, want)
	}
	code, list, stderr := detect(append(asked, "coco-results", "p", "p/two.jpg")...)
	found, err := eval.ReadResults(strings.NewReader(list), eval.Limits{})
	if code != exit.CodeDone || err != nil || len(found) == 0 || len(found) != len(d.Annotations) {
		t.Fatalf("exit code %d, %v, %d results for %d annotations\n%s", code, err, len(found), len(d.Annotations), stderr)
	}
	again, err := eval.ReadResults(strings.NewReader(stdout), eval.Limits{})
	if err != nil || !slices.Equal(again, found) {
		t.Errorf("the data set has the results %v (%v), want those of the list, %v", again, err, found)
	}
	for i, r := range found {
		if a := d.Annotations[i]; a.ID != int64(i)+1 || a.ImageID != r.ImageID || a.CategoryID != r.CategoryID || a.BBox != r.BBox {
			t.Errorf("annotation %d is %+v, want that of %+v", i+1, a, r)
		}
	}

	// Of another size than the data set says: that picture fails alone.
	code, stdout, stderr = detect(append(asked, "coco", "other/far.jpg", "p/two.jpg")...)
	if code != exit.CodeInputs || !strings.Contains(stderr, "other/far.jpg") || !strings.Contains(stderr, "image 8 is 480 x 640") || strings.Contains(stdout, `"id":8,"file_name"`) ||
		!strings.Contains(stdout, `"id":7,"file_name"`) {
		t.Errorf("a picture of another size: exit code %d\n%s%s", code, stderr, stdout)
	}
	for _, test := range []struct{ args, says string }{
		{"-q owl --format coco ids.json p/two.jpg other/none.jpg", "no image there is named ids.json, other/none.jpg"},
		{"-q owl -q dog --format coco p/two.jpg", `no category there is named "dog"`},
		{"-q owl --format json p/two.jpg", "--format coco"},
		{"-q owl --format coco --ids none.json p/two.jpg", "none.json"},
		{"-q owl --format coco --ids p/two.jpg p/two.jpg", "--ids p/two.jpg: not in COCO's format"},
	} {
		code, stdout, stderr := detect(strings.Fields(test.args)...)
		if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: exit code %d, want %d and %q on stderr:\n%s%s", test.args, code, exit.CodeUsage, test.says, stderr, stdout)
		}
	}
}

func TestOnePictureIsAnObject(t *testing.T) {
	args := []string{"detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "-v"}
	one := filepath.Join(formats, "420.jpg")
	code, stdout, stderr := clipdet(t, append(args, one)...)
	if got := parse[picture](t, stdout); code != exit.CodeDone || got.Image != one {
		t.Errorf("exit code %d, image %q; want 0 and %q", code, got.Image, one)
	}
	if !strings.Contains(stderr, "models loaded") {
		t.Errorf("--verbose: stderr is %q, want a log of what was loaded", stderr)
	}
	code, stdout, _ = clipdet(t, append(args, filepath.Join(formats, "420.jp?"))...)
	if got := parse[[]picture](t, stdout); code != exit.CodeDone || len(got) != 1 || got[0].Image != one {
		t.Errorf("a pattern with one match: exit code %d, %d objects; want 0 and a list of one", code, len(got))
	}
}

// cancelling is a stdout that interrupts the command at the first result.
type cancelling struct {
	bytes.Buffer
	cancel func()
}

func (c *cancelling) Write(data []byte) (int, error) {
	c.cancel()
	return c.Buffer.Write(data)
}

func TestInterruptionLeavesAWholeDocument(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := t.TempDir()
	stdout := &cancelling{cancel: cancel}
	var stderr bytes.Buffer
	code := run(ctx, []string{"detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--out", out, formats}, stdout, &stderr)
	got := parse[[]picture](t, stdout.String())
	all := len(intake.Expand([]string{formats}))
	if code != exit.CodeInputs || len(got) == 0 || len(got) >= all {
		t.Errorf("exit code %d with %d of %d pictures, want %d and some", code, len(got), all, exit.CodeInputs)
	}
	if !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("stderr is %q, want it to say that it was interrupted", stderr.String())
	}
	if written, err := os.ReadFile(filepath.Join(out, "detections.json")); err != nil || string(written) != stdout.String() {
		t.Errorf("detections.json does not hold what stdout has (%v)", err)
	}
}

// TestYOLO verifies that the labels have the boxes of json and that stdout is empty.
func TestYOLO(t *testing.T) {
	args := []string{"detect", "-q", "dog", "-q", "cat", "--models", tinyModels, "--proposals", "5", "--threshold", "0", "--nms", "1"}
	inputs := []string{filepath.Join(formats, "420.jpg"), filepath.Join(formats, "none.png"), filepath.Join(formats, "rgba.png"), formats}
	_, stdout, _ := clipdet(t, append(slices.Concat(args, []string{"--format", "json"}), inputs...)...)
	var want []results.Record
	var paths []string
	for record, err := range results.ReadJSON(strings.NewReader(stdout), results.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, record)
		paths = append(paths, record.Image)
	}
	out := filepath.Join(t.TempDir(), "found")
	code, stdout, stderr := clipdet(t, append(slices.Concat(args, []string{"--format", "yolo", "--out", out}), inputs...)...)
	if code != exit.CodeInputs || stdout != "" || !strings.Contains(stderr, "none.png") {
		t.Errorf("exit code %d, stdout %q, stderr %q; want %d, nothing, and what failed", code, stdout, stderr, exit.CodeInputs)
	}
	var names results.Names
	labelFiles, err := filepath.Glob(filepath.Join(out, "labels", "*.txt"))
	if err != nil || len(want) < 10 || len(labelFiles) != len(want)-1 {
		t.Errorf("%d label files for %d pictures of which one failed (%v)", len(labelFiles), len(want), err)
	}
	classes := []string{"dog", "cat"}
	for i, record := range want {
		name := names.Of(paths[i])
		if record.Error != "" {
			continue
		}
		labels := strings.Split(strings.TrimSuffix(read(t, filepath.Join(out, "labels", name+".txt")), "\n"), "\n")
		if len(labels) != len(record.Detections) || len(labels) == 0 {
			t.Errorf("%s: %d labels, want %d and some", record.Image, len(labels), len(record.Detections))
			continue
		}
		for i, d := range record.Detections {
			var class int
			var cx, cy, w, h float64
			var score float32
			_, err := fmt.Sscan(labels[i], &class, &cx, &cy, &w, &h, &score)
			width, height := float64(record.Width), float64(record.Height)
			b := box.Box{X0: float32((cx - w/2) * width), Y0: float32((cy - h/2) * height), X1: float32((cx + w/2) * width), Y1: float32((cy + h/2) * height)}
			if err != nil || classes[class] != d.Query || score != d.Score || b.IoU(d.Box) < 0.99999 {
				t.Errorf("%s: label %d is %q (%v), want %s %v at %v", record.Image, i+1, labels[i], err, d.Query, d.Score, d.Box)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("--out has %q (%v), want classes.txt and labels alone", files, err)
	}
}

// TestYOLOPairs verifies that labels have the folders of their pictures.
func TestYOLOPairs(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := filepath.Abs(filepath.Join(formats, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	tree(t, "set/images/train/", "set/images/val/", "photos/x/y/")
	for _, to := range []string{"set/images/train/a.jpg", "set/images/val/a.jpg", "photos/x/y/a.jpg", "photos/x/b.jpg"} {
		if err := os.Symlink(picture, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ args, want string }{
		{"--recursive set", "train/a.txt val/a.txt"},
		{"set/images/val", "val/a.txt"},
		{"--recursive photos/x", "b.txt y/a.txt"},
		{"--recursive photos", "x/b.txt x/y/a.txt"},
		{"photos/**/a.jpg", "x/y/a.txt"},
		{"photos/x/*.jpg", "b.txt"},
		{"photos/x/b.jpg photos/x/y/a.jpg set/images/val/a.jpg", "photos/x/b.txt photos/x/y/a.txt val/a.txt"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		args := append([]string{"detect", "-q", "dog", "--models", models, "--proposals", "5", "--format", "yolo", "--out", out}, strings.Fields(test.args)...)
		if code, _, stderr := clipdet(t, args...); code != exit.CodeDone {
			t.Errorf("%s: exit code %d\n%s", test.args, code, stderr)
		}
		var got []string
		labels := os.DirFS(filepath.Join(out, "labels"))
		err := fs.WalkDir(labels, ".", func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				got = append(got, path)
			}
			return err
		})
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: the labels are %q (%v), want %s", test.args, got, err, test.want)
		}
	}
}

// TestSchema verifies that the schema is printed and that the output of detect conforms
// to it.
func TestSchema(t *testing.T) {
	code, stdout, stderr := clipdet(t, "schema")
	if code != exit.CodeDone || stdout != results.Schema() || stderr != "" {
		t.Fatalf("exit code %d, %d bytes on stdout, stderr %q; want 0, the schema and nothing", code, len(stdout), stderr)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--format", "json", filepath.Join(formats, "420.jpg")},
		{"--format", "json", "none.png"},
		{"--format", "json", "--threshold", "0", formats, "none.png"},
		{"--format", "jsonl", "--threshold", "0", formats, "none.png"},
		{"--format", "json", "--rank", "cosine", formats},
	} {
		_, stdout, stderr := clipdet(t, append([]string{"detect", "-q", "dog", "-q", "cat", "--models", tinyModels, "--proposals", "5"}, args...)...)
		documents := []string{stdout}
		if args[1] == "jsonl" {
			documents = strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		}
		for _, text := range documents {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatalf("%q: not JSON: %v; stderr is %s", args, err, stderr)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%q: %v\n%s", args, err, text)
			}
		}
	}
}

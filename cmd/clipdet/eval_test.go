package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/evaluate"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/eval"
)

// toySet is COCO's instances as they are written.
type toySet struct {
	Images      []map[string]any `json:"images"`
	Annotations []map[string]any `json:"annotations"`
	Categories  []map[string]any `json:"categories"`
}

// toy writes n small pictures with seeded rectangles to pictures/ and returns their
// annotations.
func toy(t *testing.T, n int) *toySet {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("pictures/below", 0o755); err != nil {
		t.Fatal(err)
	}
	draw := rand.New(rand.NewPCG(1, 2))
	set := &toySet{Categories: []map[string]any{
		{"id": 7, "name": "red_box"}, {"id": 3, "name": "dog"}, {"id": 20, "name": "bow_(weapon)"}, {"id": 9, "name": "Lamp/Light"},
		{"id": 11, "name": "dog"}, {"id": 12, "name": "a=b|c {}"}, {"id": 13, "name": "@"},
	}}
	for i := range n {
		name := fmt.Sprintf("%d.png", i)
		if i%2 == 1 {
			name = "below/" + name
		}
		picture := image.NewRGBA(image.Rect(0, 0, 96, 64+i%3))
		for p := range picture.Pix {
			picture.Pix[p] = byte(draw.IntN(64)) | 128*byte(p%4/3)
		}
		for range 1 + i%3 {
			x, y, w, h := draw.IntN(50), draw.IntN(30), 10+draw.IntN(40), 10+draw.IntN(24)
			for dy := range h {
				for dx := range w {
					picture.Set(x+dx, y+dy, color.RGBA{200, byte(draw.IntN(90)), byte(10 * i), 255})
				}
			}
		}
		set.Images = append(set.Images, map[string]any{"id": 1000 - i, "file_name": name, "width": 96, "height": 64 + i%3})
		var file bytes.Buffer
		if err := png.Encode(&file, picture); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("pictures", name), file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set.annotate(t, draw)
	set.write(t, "instances.json")
	return set
}

// annotate adds annotations at the boxes that the tiny models find, moved a little, so
// that there is something to find.
func (s *toySet) annotate(t *testing.T, draw *rand.Rand) {
	t.Helper()
	args := []string{"detect", "-q", "red box", "-q", "dog", "-q", "bow (weapon)", "-q", "Lamp or Light", "--models", tinyPath, "--proposals", "25",
		"--threshold", "0", "--top-k", "1", "--device", "cpu", "--format", "jsonl"}
	for _, image := range s.Images {
		args = append(args, filepath.Join("pictures", image["file_name"].(string)))
	}
	for i, line := range strings.Split(strings.TrimSpace(evaluates(t, args...)), "\n") {
		for k, d := range parse[picture](t, line).Detections {
			x, y, w, h := float64(d.Box.X0)+draw.Float64(), float64(d.Box.Y0)+draw.Float64(), float64(d.Box.X1-d.Box.X0)*(0.8+draw.Float64()/4), float64(d.Box.Y1-d.Box.Y0)
			s.Annotations = append(s.Annotations, map[string]any{
				"id": len(s.Annotations) + 1, "image_id": s.Images[i]["id"], "category_id": s.Categories[(k+draw.IntN(2))%4]["id"],
				"bbox": []float64{x, y, w, h}, "area": w * h, "iscrowd": len(s.Annotations) % 9 / 8,
			})
		}
	}
}

func (s *toySet) write(t *testing.T, path string) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tinyEval returns a command line of eval for the toy set with the tiny models.
func tinyEval(args ...string) []string {
	return append([]string{"eval", "--images", "pictures", "--annotations", "instances.json", "--models", tinyPath, "--proposals", "25", "--device", "cpu"}, args...)
}

// tinyPath is tinyModels for any current directory.
var tinyPath = func() string {
	path, err := filepath.Abs(tinyModels)
	if err != nil {
		return tinyModels
	}
	return path
}()

func evaluates(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := clipdet(t, args...)
	if code != exit.CodeDone {
		t.Fatalf("%q: exit code %d, stderr is\n%s", args, code, stderr)
	}
	return stdout
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// untimed returns a table without its last line, which has the times.
func untimed(table string) string {
	head, _, _ := strings.Cut(table, "\nTime: ")
	return head
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if read(t, got) != read(t, want) {
		t.Errorf("%s: %s differs from %s", what, got, want)
	}
}

func TestEvalWritesWhatItMeasures(t *testing.T) {
	set := toy(t, 6)
	table := evaluates(t, tinyEval("--gt-boxes", "--json", "a.json", "--results", "r.json", "--html", "page")...)
	var got evaluate.Numbers
	if err := json.Unmarshal([]byte(read(t, "a.json")), &got); err != nil {
		t.Fatal(err)
	}
	d, err := eval.ReadDatasetFile("instances.json", eval.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	results, err := eval.ReadResultsFile("r.json", eval.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := eval.Evaluate(d, results)
	if err != nil {
		t.Fatal(err)
	}
	if *got.Summary != want.Summary {
		t.Errorf("--json has %+v, and of --results one measures %+v", got.Summary, want.Summary)
	}
	if s := want.Summary; s.AP50 < 0.1 || s.AP50 > 0.99 {
		t.Errorf("AP50 is %v: the set tests nothing", s.AP50)
	}
	perImage := map[int64]int{}
	for _, r := range results {
		perImage[r.ImageID]++
	}
	for id, n := range perImage {
		if n != 100 {
			t.Errorf("image %d has %d results, want the best 100 of 25 boxes x 7 categories", id, n)
		}
	}
	objects := 0
	for _, a := range set.Annotations {
		objects += 1 - a["iscrowd"].(int)
	}
	if got.Images != 6 || len(got.Failed) != 0 || len(got.Categories) != 7 || got.GroundTruth.Accuracy.Boxes != objects {
		t.Errorf("%d images, %d failed, %d categories, %d boxes; want 6, 0, 7, %d", got.Images, len(got.Failed), len(got.Categories), got.GroundTruth.Accuracy.Boxes, objects)
	}
	if a := got.GroundTruth.Accuracy; a.Top5 < a.Top1 || a.Top5 > 1 || a.Top5 < 0.4 {
		t.Errorf("top-1 is %v and top-5 %v, of 7 categories", a.Top1, a.Top5)
	}
	if len(got.Proposals) != 3 || got.Proposals[0].AR <= 0 || got.Errors.Misses == nil || len(got.Errors.Errors) != 6 {
		t.Errorf("proposals %+v, errors %+v", got.Proposals, got.Errors.Analysis)
	}
	for _, word := range []string{"6 images, ", "AP50 ", "ARl ", "AR@1000", "top-5 ", "classification", "proposal ", "taken for", "Best", "Time: "} {
		if !strings.Contains(table, word) {
			t.Errorf("the table lacks %q:\n%s", word, table)
		}
	}
	if strings.Contains(read(t, "a.json"), `_ms"`) {
		t.Error("--json has times, so it is another file each time")
	}

	again := evaluates(t, "eval", "merge", "--annotations", "instances.json", "--json", "b.json", "--results", "s.json",
		"--images", "pictures", "--html", "again", "a.records.jsonl")
	same(t, "measured again from the records", "again/index.html", "page/index.html")
	for dir, want := range map[string]int{"page": 6, "again": 6} {
		if drawn, err := filepath.Glob(dir + "/images/*.jpg"); err != nil || len(drawn) != want {
			t.Errorf("%s has %d pictures (%v), want %d", dir, len(drawn), err, want)
		}
	}
	for _, word := range []string{"Evaluation on instances.json", "bow_(weapon)", "a photo of the large red box.", "--proposals", "below/1.png"} {
		if !strings.Contains(read(t, "page/index.html"), word) {
			t.Errorf("the page lacks %q", word)
		}
	}
	same(t, "measured again from the records", "b.json", "a.json")
	same(t, "measured again from the records", "s.json", "r.json")
	if again != table {
		t.Errorf("measured again, the table is\n%s\nnot\n%s", again, table)
	}
}

func TestPhrasings(t *testing.T) {
	toy(t, 1)
	if err := os.WriteFile("p.txt", []byte("\ufeff# of mine\n\n dog = a dog|a {} puppy\nbow_(weapon)=an archer's {}::2\nLamp or Light=a lamp|-a candle\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	evaluates(t, tinyEval("--phrasings", "p.txt", "--records", "x.jsonl")...)
	if !strings.Contains(read(t, "x.jsonl"), `"phrase":"a dog`) {
		t.Error("no record has the phrase of --phrasings")
	}
	for _, test := range []struct{ lines, says string }{
		{"dog", "line 1"}, {"# x\ncat=a cat", `line 2: no category is named "cat"`}, {"dog=a\ndog=b", "has a line already"}, {"dog=", "phrase 1 is empty"},
		{"dog=" + strings.Repeat("very ", 100), "too long"}, {"dog=@none.png", "none.png"},
	} {
		if err := os.WriteFile("p.txt", []byte(test.lines), 0o644); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := clipdet(t, tinyEval("--phrasings", "p.txt")...)
		if code != exit.CodeUsage || !strings.Contains(stderr, test.says) || stdout != "" {
			t.Errorf("%q: exit code %d, stderr %q, want %d and %q", test.lines, code, stderr, exit.CodeUsage, test.says)
		}
	}
}

// TestEvalGoesOnAfterKill verifies that the same command continues after it was killed at
// any moment, and that its files are equal to those of an uninterrupted run.
func TestEvalGoesOnAfterKill(t *testing.T) {
	const pictures = 40
	toy(t, pictures)
	evaluates(t, tinyEval("--gt-boxes", "--json", "whole.json", "--results", "whole-results.json")...)
	args := tinyEval("--gt-boxes", "--json", "killed.json", "--results", "killed-results.json")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	lines := func() int {
		data, err := os.ReadFile("killed.records.jsonl")
		if err != nil {
			return 0
		}
		return bytes.Count(data, []byte("\n"))
	}
	for kill := range 4 {
		before := lines()
		child := exec.Command(os.Args[0], args...)
		child.Env = append(os.Environ(), asCommand+"=1")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if before > pictures {
			t.Fatalf("kill %d: all pictures are done; give the test more", kill)
		}
		for waited := 0; lines() <= before && waited < 30_000; waited++ {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Duration(draw.IntN(100)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		if got := lines(); got <= before {
			t.Fatalf("kill %d: %d lines after %d: nothing was kept", kill, got, before)
		}
		if kill == 1 { // cut a line
			if info, err := os.Stat("killed.records.jsonl"); err != nil || os.Truncate("killed.records.jsonl", info.Size()-1-draw.Int64N(200)) != nil {
				t.Fatal("can't cut off the end of the records")
			}
		}
	}
	done := lines() - 1
	evaluates(t, args...)
	t.Logf("%d of %d pictures were done when it was killed last", done, pictures)
	same(t, "after kills", "killed.json", "whole.json")
	same(t, "after kills", "killed-results.json", "whole-results.json")
	seen := map[string]int{}
	for line := range strings.Lines(read(t, "killed.records.jsonl")) {
		var record struct {
			Image string `json:"image"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("a line of the records is no JSON: %v", err)
		}
		seen[record.Image]++
	}
	for image, n := range seen {
		if n != 1 {
			t.Errorf("%q has %d records, want one", image, n)
		}
	}
}

func TestShardsMergeToOneRun(t *testing.T) {
	toy(t, 8)
	want := evaluates(t, tinyEval("--gt-boxes", "--json", "one.json", "--results", "one-results.json")...)
	var files []string
	for _, i := range []int{2, 3, 1} {
		file := fmt.Sprintf("shard%d.jsonl", i)
		files = append(files, file)
		evaluates(t, tinyEval("--gt-boxes", "--records", file, "--shard", fmt.Sprintf("%d/3", i))...)
	}
	merge := []string{"eval", "merge", "--annotations", "instances.json", "--json", "merged.json", "--results", "merged-results.json"}
	got := evaluates(t, append(merge, files...)...)
	same(t, "merged", "merged.json", "one.json")
	same(t, "merged", "merged-results.json", "one-results.json")
	if untimed(got) != untimed(want) {
		t.Errorf("the merged table is\n%s\nnot\n%s", got, want)
	}

	if table := evaluates(t, tinyEval("--records", "none.jsonl", "--shard", "9/9")...); table != "" {
		t.Errorf("a shard without pictures prints %q", table)
	}
	evaluates(t, tinyEval("--records", "other.jsonl", "--shard", "1/3")...)
	half := strings.SplitAfterN(read(t, files[0]), "\n", 3)
	if err := os.WriteFile("half.jsonl", []byte(half[0]+half[1]), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("others.json", []byte(read(t, "instances.json")+" "), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{append(slices.Clone(merge), files[:2]...), exit.CodeUsage, "3 files to merge, not 2"},
		{append(slices.Clone(merge), files[0], files[0], files[1]), exit.CodeUsage, "are both shard 2/3"},
		{append(slices.Clone(merge), files[0], files[1], "other.jsonl"), exit.CodeUsage, `--gt-boxes: the records have "true", and this is "false"`},
		{append(slices.Clone(merge), "half.jsonl", files[1], files[2]), exit.CodeInputs, "that shard isn't done"},
		{append(slices.Clone(merge), "one.json"), exit.CodeUsage, "one.json: not results"},
		{append(slices.Clone(merge), "missing.jsonl"), exit.CodeUsage, "missing.jsonl"},
		{append([]string{"eval", "merge", "--annotations", "others.json"}, files...), exit.CodeUsage, "records are of another file"},
		{merge, exit.CodeUsage, "no records"},
	} {
		code, stdout, stderr := clipdet(t, test.args...)
		if code != test.code || !strings.Contains(stderr, test.says) || stdout != "" {
			t.Errorf("%q: exit code %d, stderr %q, stdout %q; want %d, %q and nothing", test.args, code, stderr, stdout, test.code, test.says)
		}
	}
}

func TestEvalRefusesOtherRecords(t *testing.T) {
	set := toy(t, 2)
	evaluates(t, tinyEval("--records", "x.jsonl")...)
	kept := read(t, "x.jsonl")
	set.Annotations[0]["area"] = 5
	set.write(t, "changed.json")
	if err := os.WriteFile("templates.txt", []byte("a {}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--nms", "0.6"}, `--nms: the records have "0.5", and this is "0.6"`},
		{[]string{"--proposals", "26"}, "--proposals"},
		{[]string{"--gt-boxes"}, "--gt-boxes"},
		{[]string{"--crop-context", "1,1.5"}, "--crop-context"},
		{[]string{"--templates", "templates.txt"}, "--templates"},
		{[]string{"--max-detections", "5"}, "--max-detections"},
		{[]string{"--shard", "1/2"}, `--shard: the records have "1/1", and this is "1/2"`},
		{[]string{"--annotations", "changed.json"}, "annotations: "},
		{[]string{"--models", filepath.Join(tinyPath, "../../../pkg/model/builtin")}, "clip-image: "},
		{[]string{"--records", "instances.json"}, "does not begin as records of eval do"},
	} {
		code, stdout, stderr := clipdet(t, tinyEval(append([]string{"--records", "x.jsonl"}, test.args...)...)...)
		if code != exit.CodeUsage || !strings.Contains(stderr, test.says) || stdout != "" {
			t.Errorf("%q: exit code %d, stderr %q; want %d and %q", test.args, code, stderr, exit.CodeUsage, test.says)
		}
		if read(t, "x.jsonl") != kept {
			t.Fatalf("%q: the records were changed", test.args)
		}
	}
	if read(t, "instances.json") == "" {
		t.Error("a file that is no records was emptied")
	}
	// The content of a pipe can't be compared later, so it is refused.
	pipe := fifo(t, "templates")
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err == nil {
		_, err = writer.WriteString("a {}\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Second, func() { _ = writer.Close() }) // this ends the reading
	if code, stdout, stderr := clipdet(t, tinyEval("--records", "pipe.jsonl", "--templates", pipe)...); code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, pipe) {
		t.Errorf("templates from a pipe: exit code %d, stderr %q; want %d and a refusal", code, stderr, exit.CodeUsage)
	}
	table := evaluates(t, tinyEval("--records", "x.jsonl", "--threads", "1", "--images", "pictures/")...)
	if !strings.HasPrefix(table, "2 images") || read(t, "x.jsonl") != kept {
		t.Errorf("the same command with another place changed the records, or printed\n%s", table)
	}
	// A second process must not write to the records of a running one.
	running, err := os.Open("x.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if err := syscall.Flock(int(running.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := clipdet(t, tinyEval("--records", "x.jsonl")...); code != exit.CodeInputs || stdout != "" || !strings.Contains(stderr, "another process") {
		t.Errorf("records that another process has locked: exit code %d, stderr %q; want %d and the other process", code, stderr, exit.CodeInputs)
	}
}

func TestBadPicturesAreLeftOut(t *testing.T) {
	set := toy(t, 7)
	if err := os.WriteFile("pictures/0.png", []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	set.Images[2]["file_name"] = "none.png"
	set.Images[4]["width"] = 95                    // not the real one
	set.Images[5]["file_name"] = "elsewhere/5.png" // found by its base name
	set.write(t, "instances.json")
	code, stdout, stderr := clipdet(t, tinyEval("--json", "a.json", "--results", "r.json", "--gt-boxes")...)
	if code != exit.CodeInputs || !strings.Contains(stdout, "3 of 7 images could not be read: the numbers are of the others") || !strings.Contains(stderr, "3 of 7 pictures failed") {
		t.Errorf("exit code %d, stderr\n%s, stdout\n%s", code, stderr, stdout)
	}
	for _, name := range []string{"0.png", "none.png", "4.png: not the annotated picture"} {
		if !strings.Contains(stderr, name) {
			t.Errorf("%q is not named on stderr:\n%s", name, stderr)
		}
	}
	var got evaluate.Numbers
	if err := json.Unmarshal([]byte(read(t, "a.json")), &got); err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, f := range got.Failed {
		failed = append(failed, f.Image)
	}
	if want := []string{"0.png", "none.png", "4.png"}; !slices.Equal(failed, want) || got.Images != 4 {
		t.Errorf("failed: %q of %d others, want %q of 4", failed, got.Images, want)
	}

	// Failed pictures are tried again. If they can be read then, the numbers are equal to
	// the numbers of a run that had all pictures.
	for path, from := range map[string]string{"pictures/0.png": "pictures/6.png", "pictures/none.png": "pictures/2.png"} {
		if err := os.WriteFile(path, []byte(read(t, from)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr = clipdet(t, tinyEval("--json", "a.json", "--results", "r.json", "--gt-boxes")...)
	if code != exit.CodeInputs || !strings.Contains(stderr, "4 of 7 pictures are done already") {
		t.Errorf("exit code %d with two pictures mended, stderr\n%s", code, stderr)
	}
	code, _, _ = clipdet(t, tinyEval("--json", "b.json", "--results", "s.json", "--gt-boxes")...)
	same(t, "mended", "a.json", "b.json")
	if code != exit.CodeInputs {
		t.Errorf("exit code %d, want %d", code, exit.CodeInputs)
	}

}

// TestMergeRefusesDamagedRecords has records that are valid JSON with content that no run
// writes.
func TestMergeRefusesDamagedRecords(t *testing.T) {
	toy(t, 2)
	evaluates(t, tinyEval("--gt-boxes", "--max-detections", "1", "--records", "good.jsonl")...)
	good := read(t, "good.jsonl")
	given := strings.LastIndex(good, `"query":"`) // after the one that counts
	if code, _, stderr := clipdet(t, "eval", "merge", "--annotations", "instances.json", fifo(t, "records")); code != exit.CodeUsage || !strings.Contains(stderr, "empty") {
		t.Errorf("a pipe that nobody writes to: exit code %d, stderr %q; want %d", code, stderr, exit.CodeUsage)
	}
	for name, test := range map[string]struct{ records, says string }{
		"a negative limit":  {strings.Replace(good, `"--max-detections":"1"`, `"--max-detections":"-1"`, 1), `"-1"`},
		"no limit":          {strings.Replace(good, `"--max-detections":"1",`, ``, 1), `""`},
		"an unknown query":  {good[:given] + `"query":"un` + good[given+len(`"query":"`):], `the query "un`},
		"an unknown record": {strings.ReplaceAll(good, `"image":"0.png"`, `"image":"9.png"`), "there is no record of 0.png"},
	} {
		if test.records == good {
			t.Errorf("%s: nothing was changed", name)
		}
		if err := os.WriteFile("bad.jsonl", []byte(test.records), 0o644); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := clipdet(t, "eval", "merge", "--annotations", "instances.json", "--json", "bad.json", "bad.jsonl")
		if _, err := os.Stat("bad.json"); code != exit.CodeInputs || stdout != "" || !strings.Contains(stderr, test.says) || err == nil {
			t.Errorf("%s: exit code %d, stderr %q, stdout %q (%v); want %d and %q", name, code, stderr, stdout, err, exit.CodeInputs, test.says)
		}
	}
}

func TestFederatedSet(t *testing.T) {
	set := toy(t, 4)
	// These boxes are beyond the picture.
	set.Annotations[0]["bbox"], set.Annotations[1]["bbox"] = []int{200, 300, 5, 0}, []int{-50, -50, 500, 500}
	for i, image := range set.Images {
		image["neg_category_ids"], image["not_exhaustive_category_ids"] = []int{20}, []int{3}
		delete(image, "file_name")
		image["coco_url"] = "http://images.cocodataset.org/val2017/" + fmt.Sprint(i) + ".png"
	}
	for i, c := range set.Categories {
		c["frequency"] = string("rcf"[i%3])
	}
	set.write(t, "instances.json")
	table := evaluates(t, tinyEval("--json", "a.json", "--results", "r.json", "--gt-boxes", "--nms", "1")...)
	for _, word := range []string{"LVIS's rules", "APr ", "AR300 "} {
		if !strings.Contains(table, word) {
			t.Errorf("the table lacks %q:\n%s", word, table)
		}
	}
	d, err := eval.ReadDatasetFile("instances.json", eval.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	results, err := eval.ReadResultsFile("r.json", eval.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 4*25*7 { // fewer than 300 per picture
		t.Errorf("%d results, want %d", len(results), 4*25*7)
	}
	want, err := eval.Evaluate(d, results)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(read(t, "a.json")), &got); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]float64{"AP": want.Summary.AP, "APr": want.Summary.APr, "AR300": want.Summary.AR300} {
		if got[name] != value {
			t.Errorf("--json has %s %v, want %v", name, got[name], value)
		}
	}
}

func TestAblation(t *testing.T) {
	measures(t)
	toy(t, 3)
	if err := os.WriteFile("pictures/2.png", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := clipdet(t, tinyEval("--ablate", "--crop", "squash", "--json", "a.json")...)
	if code != exit.CodeInputs || !strings.Contains(stderr, "1 of 3 pictures failed") {
		t.Errorf("exit code %d, stderr\n%s", code, stderr)
	}
	var variants []struct {
		Name    string        `json:"variant"`
		Summary *eval.Summary `json:"summary"`
	}
	if err := json.Unmarshal([]byte(read(t, "a.json")), &variants); err != nil {
		t.Fatal(err)
	}
	byName := map[string]eval.Summary{}
	for _, v := range variants {
		byName[v.Name] = *v.Summary
		if !strings.Contains(stdout, "| "+v.Name+" ") {
			t.Errorf("the table has no line for %q:\n%s", v.Name, stdout)
		}
	}
	// There are 20 changes, and 5 of them change nothing here.
	if lines := strings.Count(stdout, "\n") - 2; len(variants) != lines || lines != 16 {
		t.Errorf("%d variants, want 16, a line of the table each: %q", len(variants), slices.Sorted(maps.Keys(byName)))
	}
	different := map[eval.Summary]bool{}
	for _, s := range byName {
		different[s] = true
	}
	if len(different) < 8 {
		t.Errorf("%d variants give only %d summaries", len(byName), len(different))
	}
	// Each summary is equal to the summary of an evaluation with the same flags.
	for _, name := range []string{"as given", "--crop clip", "--crop-context 1,1.5", "--templates none", "--background none", "--subtract-empty", "--rank cosine",
		"--nms-agnostic", "--soft-nms 0.5", "--box-voting 0.5", "--contained 0.9"} {
		args := tinyEval("--crop", "squash", "--results", "r.json", "--json", "one.json", "--records", t.TempDir()+"/x.jsonl")
		if name != "as given" {
			args = append(args, strings.Fields(name)...)
		}
		clipdet(t, args...)
		var one evaluate.Numbers
		if err := json.Unmarshal([]byte(read(t, "one.json")), &one); err != nil {
			t.Fatal(err)
		}
		if *one.Summary != byName[name] {
			t.Errorf("%s: alone it gives %+v, in the table %+v", name, *one.Summary, byName[name])
		}
	}
	code, stdout, stderr = clipdet(t, tinyEval("--ablate", "--rank", "cosine")...)
	if code != exit.CodeInputs || !strings.Contains(stderr, "--soft-nms 0.5 is left out") || !strings.Contains(stdout, "--rank fused") {
		t.Errorf("exit code %d, stderr\n%s", code, stderr)
	}
}

func TestInterruptedEval(t *testing.T) {
	toy(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, tinyEval("--json", "a.json"), &out, &errs); code != exit.CodeInputs || !strings.Contains(errs.String(), "interrupted") || out.Len() > 0 {
		t.Errorf("exit code %d, stderr %q, stdout %q", code, &errs, &out)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const scenes = "../../testdata/scenes"

// evalChoices are flags that both programs have.
var evalChoices = []string{"--models", tinyModels, "--device", "cpu", "--dtype", "float32", "--threads", "1", "--proposals", "25"}

// evaluated runs --mode eval of this program on Prism.
func evaluated(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	args = append([]string{"--mode", "eval"}, args...)
	return start(t, exec.Command(os.Args[0], append(args, evalChoices...)...))
}

// merged returns what clipdet eval merge writes of the shards in a folder.
func merged(t *testing.T, code int, annotations, shards string) (numbers map[string]any, detections string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shards, "shard-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return byCommand(t, code, annotations, append([]string{"merge"}, files...)...)
}

// byCommand returns what clipdet eval writes to --json and --results.
func byCommand(t *testing.T, code int, annotations string, args ...string) (numbers map[string]any, detections string) {
	t.Helper()
	dir := t.TempDir()
	outputs := []string{"--annotations", annotations, "--json", filepath.Join(dir, "numbers.json"), "--results", filepath.Join(dir, "results.json")}
	args = append([]string{"eval"}, append(args, outputs...)...)
	if got, stderr := start(t, exec.Command(clipdet, args...)); got != code {
		t.Fatalf("%q: exit code %d, want %d, %s", args, got, code, stderr)
	}
	data, err := os.ReadFile(filepath.Join(dir, "numbers.json"))
	if err == nil {
		err = json.Unmarshal(data, &numbers)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	return numbers, string(found)
}

// sameNumbers compares two evaluations but for the fields other, and returns how many
// pictures were measured.
func sameNumbers(t *testing.T, got, want map[string]any, other ...string) float64 {
	t.Helper()
	images, _ := got["images"].(float64)
	for _, name := range append(other, "made_with") {
		delete(got, name)
		delete(want, name)
	}
	a, errA := json.MarshalIndent(got, "", " ")
	b, errB := json.MarshalIndent(want, "", " ")
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("the numbers aren't as on one machine: %v, %v\n%.2000s\nwant\n%.2000s", errA, errB, a, b)
	}
	return images
}

// TestEval has the records, numbers and detections of the command.
func TestEval(t *testing.T) {
	annotations := filepath.Join(scenes, "instances.json")
	for _, test := range []struct {
		name   string
		shards int
		flags  []string
	}{
		{"defaults", 3, nil},
		{"choices", 2, []string{"--threshold", "0.2", "--top-k", "2"}},
		{"more shards than pictures", 25, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := t.TempDir()
			args := append([]string{"--annotations", annotations, "--images", scenes, "--out", out, "--shards", fmt.Sprint(test.shards)}, test.flags...)
			code, stderr := evaluated(t, args...)
			if says := fmt.Sprintf("%d of %[1]d shards are done; 0 dead letters", test.shards); code != codeDone || !strings.Contains(stderr, says) {
				t.Fatalf("exit code %d, %s", code, stderr)
			}
			alone := append([]string{"--images", scenes, "--text-cache", ""}, append(evalChoices, test.flags...)...)
			want, wantFound := byCommand(t, codeDone, annotations, alone...)
			got, found := merged(t, codeDone, annotations, out)
			if images := sameNumbers(t, got, want); images != 24 {
				t.Errorf("%v pictures were measured, want 24", images)
			}
			if found != wantFound || !strings.Contains(found, "category_id") {
				t.Errorf("the detections aren't as on one machine:\n%.500s\nwant\n%.500s", found, wantFound)
			}
			if test.name != "defaults" {
				return
			}
			code, stderr = evaluated(t, args...)
			if code != codeDone || strings.Count(stderr, "there already") != test.shards {
				t.Errorf("again: exit code %d, %s", code, stderr)
			}
			records := t.TempDir()
			for i := range test.shards {
				file := filepath.Join(records, fmt.Sprintf("shard-%05d.jsonl", i+1))
				byCommand(t, codeDone, annotations, append(alone, "--shard", fmt.Sprintf("%d/%d", i+1, test.shards), "--records", file)...)
				withoutHead(t, file)
				withoutHead(t, filepath.Join(out, filepath.Base(file)))
				sameShard(t, out, records, i+1)
			}
		})
	}
}

// withoutHead takes the first line from a file, which tells the program.
func withoutHead(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := os.WriteFile(file, rest, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEvalFailures has a picture that isn't there, one of another size, and one outside of
// the folder. They are dead letters, and the others are measured as on one machine.
func TestEvalFailures(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(scenes, "instances.json"))
	if err != nil {
		t.Fatal(err)
	}
	var set map[string]any
	if err := json.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	images, _ := set["images"].([]any)
	if len(images) != 24 {
		t.Fatalf("the scenes are %d, want 24", len(images))
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "scenes"), os.DirFS(scenes)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "scenes", "scene-006.jpg"), filepath.Join(dir, "outside.jpg")); err != nil {
		t.Fatal(err)
	}
	wants := []struct {
		at           int
		field, value string
		image, says  string
	}{
		{0, "file_name", `"missing.jpg"`, "missing.jpg", "no such file"},
		{2, "width", "641", "scene-003.jpg", "not the annotated picture: it is 640 x 480"},
		{5, "file_name", `"../outside.jpg"`, "../outside.jpg", "leads out of the folder"},
	}
	for _, want := range wants {
		image, _ := images[want.at].(map[string]any)
		image[want.field] = json.RawMessage(want.value)
	}
	if data, err = json.Marshal(set); err != nil {
		t.Fatal(err)
	}
	annotations := filepath.Join(dir, "instances.json")
	if err := os.WriteFile(annotations, data, 0o644); err != nil {
		t.Fatal(err)
	}

	out, dead, pictures := t.TempDir(), t.TempDir(), filepath.Join(dir, "scenes")
	code, stderr := evaluated(t, "--annotations", annotations, "--images", pictures, "--out", out, "--dead", dead, "--shards", "3")
	if code != codeInputs || !strings.Contains(stderr, "3 of 3 shards are done; 3 dead letters") {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range wants {
		at := -1
		for k, got := range letters(t, dead, 1+want.at%3) {
			if got["image"] == want.image && strings.Contains(fmt.Sprint(got["error"]), want.says) {
				at = k
			}
		}
		if at < 0 {
			t.Errorf("no dead letter of %s says %q: %v", want.image, want.says, letters(t, dead, 1+want.at%3))
		}
	}
	want, wantFound := byCommand(t, codeInputs, annotations, append([]string{"--images", pictures, "--text-cache", ""}, evalChoices...)...)
	got, found := merged(t, codeInputs, annotations, out)
	if failed, _ := got["failed"].([]any); len(failed) != len(wants) {
		t.Errorf("failed are %v, want %d", failed, len(wants))
	}
	if images := sameNumbers(t, got, want, "failed"); images != 21 || found != wantFound { // the texts differ
		t.Errorf("%v pictures were measured, want 21; the detections are as on one machine: %t", images, found == wantFound)
	}
	noPartials(t, out, dead)
}

// TestEvalRefused has evaluations that can't begin, or can't continue with what is there.
func TestEvalRefused(t *testing.T) {
	annotations, out := filepath.Join(scenes, "instances.json"), t.TempDir()
	data, err := os.ReadFile(annotations)
	if err != nil {
		t.Fatal(err)
	}
	other, broken := filepath.Join(t.TempDir(), "other.json"), filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(other, append(data, ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, stderr := evaluated(t, "--annotations", annotations, "--images", scenes, "--out", out, "--shards", "2"); code != codeDone {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--images", scenes}, codeUsage, "--annotations FILE"},
		{[]string{"--annotations", annotations}, codeUsage, "--images DIR"},
		{[]string{"--annotations", annotations, "--images", scenes, "--list", annotations}, codeUsage, "--list: "},
		{[]string{"--annotations", annotations, "--images", scenes, "-q", "owl"}, codeUsage, "-q"},
		{[]string{"--annotations", annotations, "--images", scenes, "--queries", annotations}, codeUsage, "--queries"},
		{[]string{"--annotations", broken, "--images", scenes}, codeUsage, broken},
		{[]string{"--annotations", annotations + ".none", "--images", scenes}, codeUsage, "instances.json.none"},
		{[]string{"--mode", "detect", "--annotations", annotations, "--list", annotations, "-q", "owl"}, codeUsage, "--mode eval"},
		{[]string{"--annotations", other, "--images", scenes}, codeInputs, "other annotations"},
		{[]string{"--annotations", annotations, "--images", scenes, "--top-k", "1"}, codeInputs, "other --top-k"},
		{[]string{"--annotations", annotations, "--images", scenes, "--shards", "3"}, codeInputs, "other shards or pictures"},
	} {
		code, stderr := evaluated(t, append([]string{"--out", out, "--shards", "2"}, test.args...)...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, want %d and %q in:\n%s", test.args, code, test.code, test.says, stderr)
		}
	}
}

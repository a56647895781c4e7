package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/agreement"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// eightModels returns a folder of the test's own with towers in float32 and
// the image tower in int8.
func eightModels(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/models/eight")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(tinyModels, "rpn.pt"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "rpn.pt"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// comparing runs models compare on two scenes.
func comparing(t *testing.T, a, b string, more ...string) (code int, stdout, stderr string) {
	t.Helper()
	args := []string{"models", "compare", a, b, "-q", "dog", "-q", "cup", "--threads", "1", "--proposals", "30", "--device", "cpu"}
	args = append(args, more...)
	return clipdet(t, append(args, "../../testdata/images/scene-020.jpg", "../../testdata/photos/coffee.jpg")...)
}

func compared(t *testing.T, a, b string, more ...string) (r agreement.Report) {
	t.Helper()
	code, stdout, stderr := comparing(t, a, b, append(more, "--format", "json")...)
	if code != exit.CodeDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in\n%s", err, stdout)
	}
	if r.Pictures != 2 || r.Boxes == 0 || r.TopK != 10 || len(r.Queries) != 2 || r.Queries[1].Name != "cup" {
		t.Fatalf("got %+v, want 2 pictures, boxes, the 10 best, dog and cup", r)
	}
	return r
}

func TestModelsAgreeWithThemselves(t *testing.T) {
	dir := eightModels(t)
	r := compared(t, dir, dir)
	for _, q := range append(r.Queries, r.All) {
		for name, got := range map[string]*float64{"top-1": q.Top1, "top-k": q.TopK, "found": q.Found, "AP": q.AP, "AP50": q.AP50} {
			if got == nil || *got != 1 {
				t.Errorf("%s: %s is %v, want 1", q.Name, name, got)
			}
		}
		if q.ScoreMost == nil || *q.ScoreMost != 0 {
			t.Errorf("%s: scores differ", q.Name)
		}
	}
	if *r.CosineLeast < 0.999999 {
		t.Errorf("the least cosine is %v, want 1", *r.CosineLeast)
	}
}

func TestInt8AgreesWithFloat32(t *testing.T) {
	dir := eightModels(t)
	r := compared(t, dir, dir, "--dtype", "float32", "--dtype-b", "int8")
	if *r.CosineLeast < 0.998 || *r.CosineLeast > 0.999999 {
		t.Errorf("the least cosine is %v, want 0.998 to 0.999999", *r.CosineLeast)
	}
	if *r.All.ScoreMost == 0 || *r.All.ScoreMost > 0.1 {
		t.Errorf("scores differ by %v at most, want a little", *r.All.ScoreMost)
	}
	code, stdout, stderr := comparing(t, dir, dir, "--dtype", "float32", "--dtype-b", "int8")
	if code != exit.CodeDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"tiny-transformers in float32", "tiny-transformers in int8", "2 pictures", "top-10", "AP50", "dog", "all"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestSetsOfOtherBoxesAreCompared(t *testing.T) {
	r := compared(t, eightModels(t), "../../pkg/model/builtin")
	if r.CosineMean != nil {
		t.Errorf("the cosine of embeddings of different widths is %v", *r.CosineMean)
	}
	if r.All.Top1 == nil || *r.All.Found == 1 || *r.All.AP == 1 {
		t.Errorf("other models agree wholly: %+v", r.All)
	}
}

func TestComparingGoesOnAfterABadPicture(t *testing.T) {
	dir := eightModels(t)
	bad := filepath.Join(t.TempDir(), "bad.jpg")
	if err := os.WriteFile(bad, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := comparing(t, dir, dir, bad)
	if code != exit.CodeInputs || !strings.Contains(stdout, "2 pictures") || !strings.Contains(stderr, "bad.jpg") || !strings.Contains(stderr, "1 of 3 pictures failed") {
		t.Errorf("exit code %d, want %d with the others' report and the name\n%s%s", code, exit.CodeInputs, stdout, stderr)
	}
}

func TestWrongUseOfCompare(t *testing.T) {
	dir := eightModels(t)
	for _, test := range []struct {
		args []string
		code int
		why  string
	}{
		{[]string{dir, dir, "-q", "dog"}, exit.CodeUsage, "want two directories of models and pictures"},
		{[]string{dir, dir, "photo.jpg"}, exit.CodeUsage, "nothing to find"},
		{[]string{dir, dir, "photo.jpg", "-q", "dog", "--models", dir}, exit.CodeUsage, "A and B are the models here"},
		{[]string{dir, dir, "photo.jpg", "-q", "dog", "--dtype-b", "int4"}, exit.CodeUsage, "want one of"},
		{[]string{dir, t.TempDir(), "photo.jpg", "-q", "dog"}, exit.CodeSetup, "models missing"},
		{[]string{dir, dir, "missing.jpg", "-q", "dog"}, exit.CodeInputs, "no picture was compared"},
	} {
		if code, _, stderr := clipdet(t, append([]string{"models", "compare"}, test.args...)...); code != test.code || !strings.Contains(stderr, test.why) {
			t.Errorf("%q: exit code %d and %q, want %d with %q", test.args, code, stderr, test.code, test.why)
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/outcome"
)

// TestOutThatCannotBeWritten verifies that directories in which not even root can create
// a file are reported before a model is loaded.
func TestOutThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	places := []string{file, filepath.Join(file, "below"), "/proc", "/proc/none"}
	if os.Geteuid() != 0 { // root ignores permissions
		locked := t.TempDir()
		if err := os.Chmod(locked, 0o555); err != nil {
			t.Fatal(err)
		}
		places = append(places, locked, filepath.Join(locked, "below"))
	}
	for _, out := range places {
		for _, format := range outcome.Formats {
			code, stdout, stderr := clipdet(t, "detect", "-q", "dog", "--models", "none", "--format", format, "-o", out, filepath.Join(formats, "420.jpg"))
			if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, "--out: ") || !strings.Contains(stderr, strings.TrimSuffix(out, "/below")) {
				t.Errorf("-o %s, %s: exit code %d, want %d; stdout is %q, stderr %q", out, format, code, exit.CodeUsage, stdout, stderr)
			}
		}
		code, stdout, stderr := clipdet(t, "calibrate", "-q", "dog", "--models", "none", "-o", filepath.Join(out, "a.json"), filepath.Join(formats, "420.jpg"))
		if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, "--out") || !strings.Contains(stderr, out) {
			t.Errorf("calibrate -o %s/a.json: exit code %d, want %d; stdout is %q, stderr %q", out, code, exit.CodeUsage, stdout, stderr)
		}
	}
}

// TestResultsThatGetNoName has a directory in the place of the results file. The error
// must be reported together with other failures, and no file may be left.
func TestResultsThatGetNoName(t *testing.T) {
	for _, inputs := range [][]string{{"420.jpg"}, {"420.jpg", "none.jpg"}} {
		out := t.TempDir()
		if err := os.Mkdir(filepath.Join(out, "detections.jsonl"), 0o755); err != nil {
			t.Fatal(err)
		}
		args := []string{"detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--format", "jsonl", "-o", out}
		for _, name := range inputs {
			args = append(args, filepath.Join(formats, name))
		}
		code, stdout, stderr := clipdet(t, args...)
		if code != exit.CodeInputs || !strings.Contains(stderr, "write the results: rename ") || strings.Contains(stderr, "--help") {
			t.Errorf("%q: exit code %d, want %d; stderr is %q", inputs, code, exit.CodeInputs, stderr)
		}
		if strings.Count(stdout, "\n") != len(inputs) {
			t.Errorf("%q: stdout is %q, want a line for each", inputs, stdout)
		}
		if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
			t.Errorf("%q: --out holds %v, want nothing more than before (%v)", inputs, left, err)
		}
	}
}

// TestReaderThatGoesAway closes the pipe that is stdout. The signal would end a program
// that doesn't handle it.
func TestReaderThatGoesAway(t *testing.T) {
	out := t.TempDir()
	child := exec.Command(os.Args[0], "detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "-o", out, formats)
	child.Env = append(os.Environ(), asCommand+"=1")
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = stdout.Close() // Wait reports the child's errors
	if _ = child.Wait(); child.ProcessState.ExitCode() != exit.CodeInputs || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("%v, want exit code %d; stderr is %q", child.ProcessState, exit.CodeInputs, &stderr)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("%v is left in --out, want nothing (%v)", left, err)
	}

	stderr.Reset()
	help := exec.Command(os.Args[0], "detect", "--help") // as with | head
	help.Env, help.Stderr = child.Env, &stderr
	if stdout, err = help.StdoutPipe(); err == nil {
		err = help.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = stdout.Close()
	if err := help.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("a help: %v, stderr is %q", err, &stderr)
	}
}

// breaking is a stdout that accepts one write.
type breaking struct{ writes int }

func (b *breaking) Write(data []byte) (int, error) {
	if b.writes++; b.writes > 1 {
		return 0, errors.New("broken")
	}
	return len(data), nil
}

// TestNoHalfPictures ends the run while a large picture is being drawn.
func TestNoHalfPictures(t *testing.T) {
	dir := t.TempDir()
	large, err := os.Create(filepath.Join(dir, "large.png"))
	if err == nil {
		err = errors.Join(png.Encode(large, image.NewGray(image.Rect(0, 0, 3000, 3000))), large.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	var stderr strings.Builder
	code := run(t.Context(), []string{"detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--format", "jsonl", "--pictures", "-o", out,
		large.Name(), filepath.Join(formats, "420.jpg")}, new(breaking), &stderr)
	if code != exit.CodeInputs || !strings.Contains(stderr.String(), "broken") {
		t.Errorf("exit code %d, want %d; stderr is %q", code, exit.CodeInputs, &stderr)
	}
	left, err := filepath.Glob(filepath.Join(out, "*"))
	if drawn, _ := filepath.Glob(filepath.Join(out, "large.*.png")); err != nil || len(left) != 3 || len(drawn) != 3 {
		t.Errorf("--out holds %q (%v), want the three pictures of the first", left, err)
	}
}

// TestPicturesThatGetNoName verifies that each failed drawing has its own line on stderr.
func TestPicturesThatGetNoName(t *testing.T) {
	out := t.TempDir()
	for _, name := range []string{"420.original.png", "420.proposals.png"} {
		if err := os.Mkdir(filepath.Join(out, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := clipdet(t, "detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--pictures", "-o", out, filepath.Join(formats, "420.jpg"))
	if code != exit.CodeInputs || strings.Count(stderr, "clipdet: draw pictures: rename ") != 2 || strings.Count(stderr, "\n") != 2 {
		t.Errorf("exit code %d, want %d and two lines; stderr is %q", code, exit.CodeInputs, stderr)
	}
	if written, err := os.ReadFile(filepath.Join(out, "detections.json")); err != nil || string(written) != stdout {
		t.Errorf("detections.json does not hold what stdout has (%v)", err)
	}
}

// TestRecordsOnAFullDisk starts records on a disk with no space for their first line.
// That isn't wrong usage, and a later run must continue.
func TestRecordsOnAFullDisk(t *testing.T) {
	toy(t, 1)
	args := tinyEval("--records", "r.jsonl")
	child := exec.Command("sh", append([]string{"-c", `ulimit -f 0 && exec "$0" "$@"`, os.Args[0]}, args...)...)
	child.Env = append(os.Environ(), asCommand+"=1")
	said, _ := child.CombinedOutput() // its exit code is checked below
	if code := child.ProcessState.ExitCode(); code != exit.CodeInputs || !strings.Contains(string(said), "clipdet: --records: write r.jsonl: ") {
		t.Errorf("exit code %d, want %d; it says %q", code, exit.CodeInputs, said)
	}
	evaluates(t, args...)
}

// TestLockOnAFullDisk verifies that the earlier lock file is kept.
func TestLockOnAFullDisk(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock.json")
	evaluates(t, "models", "lock", tinyModels, "--out", lock)
	before := read(t, lock)
	child := exec.Command("sh", "-c", `ulimit -f 0 && exec "$0" "$@"`, os.Args[0], "models", "lock", tinyModels, "--out", lock)
	child.Env = append(os.Environ(), asCommand+"=1")
	said, _ := child.CombinedOutput() // its exit code is checked below
	if code := child.ProcessState.ExitCode(); code != exit.CodeInputs || !strings.HasPrefix(string(said), "clipdet: write the lock: "+lock) {
		t.Errorf("exit code %d, want %d; it says %q", code, exit.CodeInputs, said)
	}
	if left, err := os.ReadDir(filepath.Dir(lock)); read(t, lock) != before || err != nil || len(left) != 1 {
		t.Errorf("the lock was changed, or beside it are others: %v (%v)", left, err)
	}
}

// TestInputsAreNotDrawnOver has inputs in the directory of --out with the names of
// another input's drawings.
func TestInputsAreNotDrawnOver(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(formats, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	tree(t, "in/", "elsewhere/")
	for _, path := range []string{"in/a.jpg", "in/a.proposals.png", "elsewhere/b.png"} {
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("in", "link"); err != nil {
		t.Fatal(err)
	}
	detect := []string{"detect", "-q", "dog", "--models", models, "--proposals", "5", "--pictures", "-o"}
	for _, args := range [][]string{{"in", "in"}, {"link", "in"}, {"in", "link/a.jpg", "in/a.proposals.png"}, {"in", "elsewhere/b.png", "in"}} {
		code, stdout, stderr := clipdet(t, append(detect, args...)...)
		if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, "a.proposals.png") {
			t.Errorf("-o %q: exit code %d, want %d; stdout is %q, stderr %q", args, code, exit.CodeUsage, stdout, stderr)
		}
	}
	if read(t, "in/a.proposals.png") != string(whole) {
		t.Error("the input was drawn over")
	}
	if code, _, stderr := clipdet(t, append(detect, "in", "in/a.jpg", "elsewhere")...); code != exit.CodeDone {
		t.Errorf("where no input is in the way: exit code %d, stderr %q", code, stderr)
	}
}

// TestOutputsThatWouldBeLost names one file twice, or one that is read.
func TestOutputsThatWouldBeLost(t *testing.T) {
	toy(t, 2)
	evaluates(t, tinyEval("--records", "r.jsonl")...)
	if err := errors.Join(os.WriteFile("p.txt", []byte("lamp=a lamp"), 0o644), os.WriteFile("t.txt", []byte("a {}"), 0o644), os.WriteFile("list.txt", []byte("pictures/0.png"), 0o644), os.Symlink(".", "link"),
		os.CopyFS("models", os.DirFS(tinyPath))); err != nil {
		t.Fatal(err)
	}
	redirected, err := os.Create("redirected") // as stdout may be
	if err != nil {
		t.Fatal(err)
	}
	defer redirected.Close()
	if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", redirected.Fd()), "stdout"); err != nil {
		t.Fatal(err)
	}
	inputs := func() (all []string) {
		for _, path := range []string{"instances.json", "r.jsonl", "p.txt", "t.txt", "list.txt", "pictures/0.png", "pictures/below/1.png", "models/rpn.pt", "stdout"} {
			all = append(all, read(t, path))
		}
		return all
	}
	merge := []string{"eval", "merge", "--annotations", "instances.json"}
	calibrate := []string{"calibrate", "-q", "dog", "--models", tinyPath}
	for _, test := range []struct {
		args []string
		says string
	}{
		{tinyEval("--json", "instances.json"), "--json instances.json: --annotations"},
		{tinyEval("--results", "link/instances.json"), "--results link/instances.json: --annotations"},
		{tinyEval("--json", "new.json", "--results", "./new.json"), "--results ./new.json: --json"},
		{tinyEval("--json", "r.jsonl", "--records", "r.jsonl"), "--json r.jsonl: --records"},
		{tinyEval("--json", "a.json", "--results", "a.records.jsonl"), "--results a.records.jsonl: --records"},
		{tinyEval("--json", "p.txt", "--phrasings", "p.txt"), "--json p.txt: --phrasings"},
		{append(merge, "--json", "r.jsonl", "r.jsonl"), "--json r.jsonl: the records"},
		{append(merge, "--results", "instances.json", "r.jsonl"), "--results instances.json: --annotations"},
		{[]string{"bench", "--json", "new.svg", "--plot", "new.svg"}, "--plot new.svg: --json"},
		{[]string{"bench", "--json", "new.svg", "--plot", "link/new.svg"}, "--plot link/new.svg: --json"},
		{[]string{"bench", "--json", "stdout"}, "--json stdout: it is there already, and no file"},
		{tinyEval("--records", "stdout"), "--records stdout: it is there already, and no file"},
		{[]string{"bench", "--json", "/proc/figures.json"}, "--json: open /proc/"},
		{tinyEval("--results", "/proc/results.json"), "--results: open /proc/"},
		{tinyEval("--models", "models", "--json", "models/rpn.pt"), "--json models/rpn.pt: a model"},
		{append(calibrate, "--models", "models", "--out", "models/rpn.pt", "pictures"), "--out models/rpn.pt: a model"},
		{append(calibrate, "--models", "models/lock.json", "--out", "models/clip-text.pt", "pictures"), "--out models/clip-text.pt: a model"},
		{[]string{"bench", "--queries", "p.txt", "--json", "p.txt"}, "--json p.txt: --queries"},
		{[]string{"bench", "--json", "pictures/0.png", "pictures"}, "--json pictures/0.png: a picture"},
		{append(calibrate, "--annotations", "instances.json", "--out", "instances.json", "pictures"), "--out instances.json: --annotations"},
		{append(calibrate, "--queries", "p.txt", "--out", "p.txt", "pictures"), "--out p.txt: --queries"},
		{append(calibrate, "-q", "cat=@pictures/0.png", "--out", "pictures/0.png", "pictures/below"), `--out pictures/0.png: the picture of the query "cat"`},
		{append(calibrate, "--models", "r.jsonl", "--out", "r.jsonl", "pictures"), "--out r.jsonl: --models"},
		{append(calibrate, "--out", "link/pictures/0.png", "pictures"), "--out link/pictures/0.png: a picture"},
		{append(calibrate, "--out", "list.txt", "--files-from", "list.txt"), "--out list.txt: --files-from"},
		{tinyEval("--json", "pictures/0.png"), "--json pictures/0.png: a picture"},
		{tinyEval("--json", "pictures/below/1.png", "--ablate"), "--json pictures/below/1.png: a picture"},
		{tinyEval("--results", "t.txt", "--templates", "t.txt"), "--results t.txt: --templates"},
	} {
		before := inputs()
		code, stdout, stderr := clipdet(t, test.args...)
		if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, want %d; stderr is %q, want %q", test.args, code, exit.CodeUsage, stderr, test.says)
		}
		if after := inputs(); !slices.Equal(after, before) {
			t.Fatalf("%q: an input was changed", test.args)
		}
	}
}

// TestUmask verifies that the umask decides who may read the files in --out and the file
// of a flag.
func TestUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	out := filepath.Join(t.TempDir(), "out")
	if code, _, stderr := clipdet(t, "detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--threshold", "0",
		"--pictures", "--format", "yolo", "--out", out, "../../testdata/formats/420.jpg"); code != exit.CodeDone {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	files := 0
	err := filepath.WalkDir(out, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		if info, err := entry.Info(); err != nil || info.Mode() != 0o640 {
			t.Errorf("%s is %v (%v), want -rw-r-----", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil || files != 5 {
		t.Errorf("%d files (%v), want the labels, the classes and three pictures", files, err)
	}
}

// TestFont draws a name in another script with a font, and says what the font lacks.
func TestFont(t *testing.T) {
	const given = "../../testdata/fonts/few-cjk.otf"
	scene := filepath.Join(scenes, "scene-020.jpg")
	drawn := map[string][]byte{}
	for _, name := range []string{"犬猫", "猫鳥"} {
		out := t.TempDir()
		code, _, stderr := clipdet(t, "detect", "-q", name+"=owl", "--models", tinyModels, "--proposals", "5", "--threshold", "0", "--pictures", "--font", given, "-o", out, scene)
		if says := strings.Contains(stderr, "pictures have boxes in place of 鳥: "+given+" doesn't have them"); code != exit.CodeDone || says != (name == "猫鳥") {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
		var err error
		if drawn[name], err = os.ReadFile(filepath.Join(out, strings.TrimSuffix(filepath.Base(scene), ".jpg")+".detections.png")); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(drawn["犬猫"], drawn["猫鳥"]) {
		t.Error("other names are drawn alike")
	}
	for args, says := range map[string]string{
		"--font " + given: "--font is for --pictures",
		"--pictures --font ../../testdata/fonts/README.md": "--font: ../../testdata/fonts/README.md: no font that can be drawn",
	} {
		all := append([]string{"detect", "-q", "owl", "--models", tinyModels, "-o", t.TempDir(), scene}, strings.Fields(args)...)
		if code, _, stderr := clipdet(t, all...); code != exit.CodeUsage || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, want %q:\n%s", args, code, says, stderr)
		}
	}
}

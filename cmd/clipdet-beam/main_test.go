package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// asCommand is set in the environment of this test binary where it is to be the program.
const asCommand = "CLIPDET_BEAM_AS_COMMAND"

// clipdet is the command, which does the same on one machine.
var clipdet string

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(withCommand(m))
}

func withCommand(m *testing.M) int {
	dir, err := os.MkdirTemp("", "clipdet-beam-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	clipdet = filepath.Join(dir, "clipdet")
	if out, err := exec.Command("go", "-C", "../..", "build", "-o", clipdet, "./cmd/clipdet").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

const tinyModels = "../../testdata/models/tiny"

// choices are flags that both programs have.
var choices = []string{"-q", "owl", "-q", "camera", "--models", tinyModels, "--device", "cpu", "--dtype", "float32", "--threads", "1", "--proposals", "5", "--threshold", "0"}

// beamed runs this program on Prism.
func beamed(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	return start(t, exec.Command(os.Args[0], append(choices[:len(choices):len(choices)], args...)...))
}

func start(t *testing.T, cmd *exec.Cmd) (code int, stderr string) {
	t.Helper()
	var said bytes.Buffer
	cmd.Env = append(os.Environ(), asCommand+"=1", "GOMP_SPINCOUNT=10000")
	cmd.Stderr = &said
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), said.String()
}

// copies returns the path of a list of n pictures, which are copies of testdata's.
func copies(t *testing.T, n int) (list string) {
	t.Helper()
	scenes, err := filepath.Glob("../../testdata/images/*.jpg")
	if err != nil || len(scenes) == 0 {
		t.Fatalf("no pictures in testdata: %v", err)
	}
	dir := t.TempDir()
	var paths strings.Builder
	for i := range n {
		data, err := os.ReadFile(scenes[i%len(scenes)])
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%04d.jpg", i))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&paths, path)
	}
	list = filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte(paths.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return list
}

// oneMachine returns the folder of the shards that the command writes.
func oneMachine(t *testing.T, list string, shards int) string {
	t.Helper()
	out := t.TempDir()
	for i := range shards {
		args := append([]string{"detect", "--text-cache", ""}, choices...)
		args = append(args, "--files-from", list, "--format", "jsonl", "--shard", fmt.Sprintf("%d/%d", i+1, shards), "--out", out)
		if code, stderr := start(t, exec.Command(clipdet, args...)); code > codeInputs {
			t.Fatalf("shard %d by the command: exit code %d, %s", i+1, code, stderr)
		}
	}
	return out
}

var times = regexp.MustCompile(`"timings_ms":\{[^}]*\}`)

// shardText returns a shard's file without the times in it.
func shardText(dir string, i int) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, shardName(i)))
	return times.ReplaceAllString(string(data), ""), err
}

func shardName(i int) string { return fmt.Sprintf("shard-%05d.jsonl", i) }

// sameShard compares two files of a shard but for the times.
func sameShard(t *testing.T, got, want string, i int) {
	t.Helper()
	gotText, errGot := shardText(got, i)
	wantText, errWant := shardText(want, i)
	if err := errors.Join(errGot, errWant); err != nil {
		t.Error(err)
		return
	}
	if gotText != wantText {
		t.Errorf("%s isn't as on one machine:\n%.2000s\nwant\n%.2000s", shardName(i), gotText, wantText)
	}
}

// letters returns the dead letters of a shard.
func letters(t *testing.T, dir string, i int) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("shard-%05d.jsonl", i)))
	if err != nil {
		return nil
	}
	var all []map[string]any
	for line := range bytes.Lines(data) {
		var one map[string]any
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("dead letters of shard %d: %v in %q", i, err, line)
		}
		all = append(all, one)
	}
	return all
}

// TestSameAsOneMachine does 300 pictures on Prism, and again, when nothing is left to do.
func TestSameAsOneMachine(t *testing.T) {
	const shards = 4
	list, out := copies(t, 300), t.TempDir()
	want := oneMachine(t, list, shards)
	args := []string{"--list", list, "--out", out, "--shards", fmt.Sprint(shards)}
	code, stderr := beamed(t, args...)
	if code != codeDone || !strings.Contains(stderr, "4 of 4 shards are done; 0 dead letters") {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for i := range shards {
		sameShard(t, out, want, i+1)
	}
	if _, err := os.Stat(filepath.Join(out, "dead")); err == nil {
		t.Error("there are dead letters")
	}
	code, stderr = beamed(t, args...)
	if code != codeDone || strings.Count(stderr, "there already") != shards {
		t.Errorf("again: exit code %d, %s", code, stderr)
	}
}

// TestFailures has a picture that can't be read, one that isn't there, and a shard whose
// file can't be written, since a folder has its name. All else is as on one machine.
func TestFailures(t *testing.T) {
	const shards = 5
	list, out, dead := copies(t, 10), t.TempDir(), t.TempDir()
	paths, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	broken, _, _ := strings.Cut(string(paths), "\n") // of shard 1, as the last is
	if err := os.WriteFile(broken, []byte("none"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.jpg")
	if err := os.WriteFile(list, append(paths, missing+"\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	want := oneMachine(t, list, shards)
	blocked := filepath.Join(out, "shard-00003.jsonl")
	if err := os.MkdirAll(filepath.Join(blocked, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"--list", list, "--out", out, "--dead", dead, "--shards", fmt.Sprint(shards), "--tries", "2"}
	code, stderr := beamed(t, args...)
	if code != codeInputs || !strings.Contains(stderr, "4 of 5 shards are done; 3 dead letters") || !strings.Contains(stderr, dead) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for i := range shards {
		if i+1 != 3 {
			sameShard(t, out, want, i+1)
		}
	}
	if got := letters(t, dead, 1); len(got) != 2 || got[0]["image"] != broken || got[1]["image"] != missing || got[1]["error"] == "" {
		t.Errorf("the dead letters of shard 1 are %v, want %s and %s", got, broken, missing)
	}
	if got := letters(t, dead, 3); len(got) != 1 || got[0]["image"] != nil || got[0]["error"] == "" {
		t.Errorf("the dead letters of shard 3 are %v, want one of the shard", got)
	}

	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	code, stderr = beamed(t, args...)
	if code != codeInputs || !strings.Contains(stderr, "5 of 5 shards are done; 2 dead letters") {
		t.Errorf("with nothing in the way: exit code %d, %s", code, stderr)
	}
	sameShard(t, out, want, 3)
	if got := letters(t, dead, 3); len(got) != 0 {
		t.Errorf("the shard is done and still has the dead letters %v", got)
	}
	noPartials(t, out, dead)
}

func noPartials(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
			t.Errorf("%s has %v", dir, left)
		}
	}
}

// TestFullDisk writes to a file system that is too small, and once more after it has
// grown.
func TestFullDisk(t *testing.T) {
	const shards = 6
	list, dead, out := copies(t, 60), t.TempDir(), t.TempDir()
	want := oneMachine(t, list, shards)
	var most int64
	for i := range shards {
		info, err := os.Stat(filepath.Join(want, fmt.Sprintf("shard-%05d.jsonl", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	small := fmt.Sprintf("size=%dk", 3*most>>10) // for two or so
	if err := syscall.Mount("clipdet", out, "tmpfs", 0, small); err != nil {
		t.Fatalf("mount a small file system, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(out, 0); err != nil {
			t.Error(err)
		}
	})
	args := []string{"--list", list, "--out", out, "--shards", fmt.Sprint(shards), "--tries", "1"}
	code, stderr := beamed(t, append(args, "--dead", dead)...)
	if code != codeInputs || !strings.Contains(stderr, dead) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	whole := 0
	for i := range shards {
		if _, err := os.Stat(filepath.Join(out, fmt.Sprintf("shard-%05d.jsonl", i+1))); err == nil {
			whole++
			sameShard(t, out, want, i+1)
		} else if got := letters(t, dead, i+1); len(got) != 1 || !strings.Contains(fmt.Sprint(got[0]["error"]), "no space left") {
			t.Errorf("shard %d isn't there, and its dead letters are %v", i+1, got)
		}
	}
	if whole == 0 || whole == shards {
		t.Errorf("%d of %d shards are there: the file system has the wrong size", whole, shards)
	}
	noPartials(t, out)

	if err := os.WriteFile(filepath.Join(out, "filler"), make([]byte, 8*most), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the file system isn't full: %v", err)
	}
	code, stderr = beamed(t, args...) // the dead letters don't fit either
	if code != codeInputs || !strings.Contains(stderr, "no space left") || !strings.Contains(stderr, "the same command does the others") {
		t.Errorf("without space for the dead letters: exit code %d, %s", code, stderr)
	}

	if err := syscall.Mount("clipdet", out, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	code, stderr = beamed(t, append(args, "--dead", dead)...)
	if code != codeDone {
		t.Errorf("with space: exit code %d, %s", code, stderr)
	}
	for i := range shards {
		sameShard(t, out, want, i+1)
	}
}

// TestRefused has jobs that can't begin, or can't continue with what is there.
func TestRefused(t *testing.T) {
	list, out := copies(t, 3), t.TempDir()
	other := copies(t, 3)
	if code, stderr := beamed(t, "--list", list, "--out", out, "--shards", "2"); code != codeDone {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--list", list, "--out", out}, codeUsage, "--shards 0"},
		{[]string{"--out", out, "--shards", "2"}, codeUsage, "--list FILE"},
		{[]string{"--list", list, "--shards", "2"}, codeUsage, "--out DIR"},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--mode", "draw"}, codeUsage, `--mode "draw"`},
		{[]string{"--list", list + ".none", "--out", out, "--shards", "2"}, codeUsage, "list.txt.none"},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--queries", list + ".none"}, codeUsage, "--queries"},
		{[]string{"--list", list, "--out", out, "--shards", "2", "-q", "owl"}, codeUsage, "owl"},
		{[]string{"--list", list, "more.txt", "--out", out, "--shards", "2"}, codeUsage, `"more.txt" is no flag`},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--top-k", "-1"}, codeUsage, "--top-k -1: want 0 (all) or more"},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--dtype", "float33"}, codeUsage, `--dtype "float33": want one of auto`},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--device", "gpu"}, codeUsage, `--device "gpu": want auto, cpu`},
		{[]string{"--list", list, "--out", out, "--shards", "2", "-q", "dog"}, codeInputs, "other queries"},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--top-k", "1"}, codeInputs, "other choice of boxes"},
		{[]string{"--list", list, "--out", out, "--shards", "3"}, codeInputs, "other shards or pictures"},
		{[]string{"--list", other, "--out", out, "--shards", "2"}, codeInputs, "other shards or pictures"},
		{[]string{"--list", list, "--out", out, "--shards", "2", "--models", list}, codeInputs, "open the models"},
	} {
		code, stderr := beamed(t, test.args...)
		if code != test.code || !strings.Contains(stderr, test.says) || strings.HasPrefix(test.says, "other") && strings.Contains(stderr, "open the models") {
			t.Errorf("%q: exit code %d, want %d and %q in:\n%s", test.args, code, test.code, test.says, stderr)
		}
	}
}

// TestIndex compares an index with the parts that the command writes, moved together.
func TestIndex(t *testing.T) {
	const parts = 3
	list, out, want := copies(t, 12), t.TempDir(), t.TempDir()
	paths, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--models", tinyModels, "--device", "cpu", "--dtype", "float32", "--threads", "1", "--shard-regions", "10"}
	for i := range parts {
		part := t.TempDir()
		args := append([]string{"index", "--max-regions", "5", "--out", part, "--shard", fmt.Sprintf("%d/%d", i+1, parts)}, flags...)
		if code, stderr := start(t, exec.Command(clipdet, append(args, strings.Fields(string(paths))...)...)); code != codeDone {
			t.Fatalf("part %d by the command: exit code %d, %s", i+1, code, stderr)
		}
		files, err := filepath.Glob(filepath.Join(part, "shard-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.Rename(file, filepath.Join(want, filepath.Base(file))); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := append([]string{"--mode", "index", "--proposals", "5", "--list", list, "--out", out, "--shards", fmt.Sprint(parts)}, flags...)
	if code, stderr := start(t, exec.Command(os.Args[0], args...)); code != codeDone || !strings.Contains(stderr, "3 of 3 shards are done; 0 dead letters") {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	files, err := filepath.Glob(filepath.Join(want, "shard-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the command wrote no index: %v", err)
	}
	there, err := filepath.Glob(filepath.Join(out, "shard-*"))
	if err != nil || len(there) != len(files) {
		t.Errorf("%d files, %v; want %d", len(there), err, len(files))
	}
	for _, file := range files {
		a, errA := os.ReadFile(file)
		b, errB := os.ReadFile(filepath.Join(out, filepath.Base(file)))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s isn't the command's: %v, %v", filepath.Base(file), errA, errB)
		}
	}
	if code, stderr := start(t, exec.Command(clipdet, "index", "verify", out)); code != codeDone {
		t.Errorf("index verify: exit code %d, %s", code, stderr)
	}
	if code, stderr := start(t, exec.Command(os.Args[0], args...)); code != codeDone || strings.Count(stderr, "there already") != parts {
		t.Errorf("again: exit code %d, %s", code, stderr)
	}
}

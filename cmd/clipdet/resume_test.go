package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// found returns the images of JSON Lines and what was detected in each, without times.
func found(t *testing.T, lines string) (images, detections []string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		p := parse[picture](t, line)
		text, err := json.Marshal(p.Detections)
		if err != nil {
			t.Fatal(err)
		}
		images, detections = append(images, p.Image), append(detections, p.Image+string(text))
	}
	return images, detections
}

// TestResume kills a run that has begun, and resumes it. What is found must be what one run
// finds.
func TestResume(t *testing.T) {
	args := []string{"detect", "-q", "dog", "-q", "owl", "--alike", "1", "--models", tinyModels, "--proposals", "5", "--threshold", "0", "--format", "jsonl", formats}
	code, whole, _ := clipdet(t, args...)
	if code != exit.CodeDone {
		t.Fatalf("exit code %d", code)
	}
	_, want := found(t, whole)

	out := t.TempDir()
	file := filepath.Join(out, "detections.jsonl")
	args = append(args, "--resume", "--out", out)
	child := exec.Command(os.Args[0], args...)
	child.Env = append(os.Environ(), asCommand+"=1")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if data, err := os.ReadFile(file); err == nil && strings.Count(string(data), "\n") > 2 {
			break
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// A failed picture is tried again, and half a line is none.
	broken := string(before) + `{"image":"` + filepath.Join(formats, "rgb.bmp") + `","error":"none"}` + "\n" + `{"image":"half`
	if err := os.WriteFile(file, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	done, _ := found(t, string(before))
	code, stdout, stderr := clipdet(t, args...)
	if code != exit.CodeDone || len(done) < 3 || !strings.Contains(stderr, "pictures are done already") {
		t.Errorf("%d pictures were done; then exit code %d, stderr %q", len(done), code, stderr)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, got := found(t, string(after))
	if strings.Join(got, "\n") != strings.Join(want, "\n") || strings.Count(stdout, "\n")+len(done) != len(want) {
		t.Errorf("after the interruption %d records, %d of them on stdout, want the %d of one run:\n%s\nwant\n%s",
			len(got), strings.Count(stdout, "\n"), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// The same file twice has two records, and all that is done is not done again.
	one := filepath.Join(formats, "420.jpg")
	code, stdout, stderr = clipdet(t, append(args, one)...)
	if images, _ := found(t, stdout); code != exit.CodeDone || len(images) != 1 || images[0] != one {
		t.Errorf("the same file again: exit code %d, %q, stderr %q", code, images, stderr)
	}
	for _, test := range []struct {
		more []string
		code int
		says string
	}{
		{[]string{"--threshold", "0.5"}, exit.CodeUsage, "choice of boxes: Threshold 0, not 0.5"},
		{[]string{"-q", "cat"}, exit.CodeUsage, "models, queries or scoring: queries"},
		{[]string{"--pictures"}, exit.CodeUsage, "drawings: --pictures false, not true"},
		{[]string{filepath.Join(formats, "\xff.png")}, exit.CodeUsage, "isn't UTF-8"},
		{[]string{"--format", "json"}, exit.CodeUsage, "--resume needs --format jsonl"},
		{[]string{"--out", ""}, exit.CodeUsage, "--out"},
	} {
		code, _, stderr := clipdet(t, append(args, test.more...)...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, stderr %q; want %d and %q", test.more, code, stderr, test.code, test.says)
		}
	}
	if err := os.WriteFile(file, []byte("garbage\n"+string(after)), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clipdet(t, args...); code != exit.CodeUsage || !strings.Contains(stderr, "remove it") {
		t.Errorf("a line that is no record: exit code %d, stderr %q", code, stderr)
	}
	// A file that is removed, as the message says, is begun anew with other queries.
	args = []string{"detect", "-q", "owl", "--models", tinyModels, "--proposals", "5", "--format", "jsonl", "--out", out, one, "--resume"}
	if code, _, stderr := clipdet(t, args...); code != exit.CodeUsage || !strings.Contains(stderr, "remove it") {
		t.Errorf("other queries: exit code %d, stderr %q", code, stderr)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if code, _, stderr := clipdet(t, args...); code != exit.CodeDone || strings.Contains(stderr, "done already") != (i == 1) {
			t.Errorf("after its removal, run %d: exit code %d, stderr %q", i+1, code, stderr)
		}
	}
	// What a run without --resume wrote isn't taken for an earlier run's with it.
	if code, _, stderr := clipdet(t, append(args[:len(args)-1:len(args)-1], "-q", "cat", "--overwrite")...); code != exit.CodeDone {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	if code, _, stderr := clipdet(t, args...); code != exit.CodeUsage || !strings.Contains(stderr, "wasn't made with --resume") {
		t.Errorf("over a run without --resume: exit code %d, stderr %q", code, stderr)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "detections.jsonl"), after, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clipdet(t, append(args, "--out", other)...); code != exit.CodeUsage || !strings.Contains(stderr, "wasn't made with --resume") {
		t.Errorf("another run's file: exit code %d, stderr %q", code, stderr)
	}
}

// TestResultsAreNotOverwritten runs twice into one directory, and with another run that
// writes its results meanwhile.
func TestResultsAreNotOverwritten(t *testing.T) {
	for _, format := range []string{"json", "csv", "yolo"} {
		out := t.TempDir()
		args := []string{"detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--format", format, "--out", out, filepath.Join(formats, "420.jpg")}
		for i, test := range []struct {
			more string
			code int
			says string
		}{{"--top-k=1", exit.CodeDone, ""}, {"--top-k=2", exit.CodeUsage, "is there already; --overwrite"}, {"--overwrite", exit.CodeDone, ""}} {
			code, _, stderr := clipdet(t, append(args, test.more)...)
			if code != test.code || !strings.Contains(stderr, test.says) || test.says == "" && stderr != "" {
				t.Errorf("%s, run %d: exit code %d, stderr %q; want %d and %q", format, i+1, code, stderr, test.code, test.says)
			}
		}
	}
	out := t.TempDir()
	file := filepath.Join(out, "detections.jsonl")
	stdout := &during{do: func() error { return os.WriteFile(file, []byte("theirs"), 0o644) }}
	var stderr strings.Builder
	code := run(t.Context(), []string{"detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--format", "jsonl", "--out", out, filepath.Join(formats, "420.jpg")}, stdout, &stderr)
	theirs, err := os.ReadFile(file)
	ours, err2 := os.ReadFile(filepath.Join(out, "detections-2.jsonl"))
	left, err3 := os.ReadDir(out)
	if code != exit.CodeInputs || string(theirs) != "theirs" || string(ours) != stdout.String() || len(left) != 2 || !strings.Contains(stderr.String(), "detections-2.jsonl") {
		t.Errorf("two runs at once: exit code %d, stderr %q, theirs %q, ours %q, files %v (%v, %v, %v)", code, &stderr, theirs, ours, left, err, err2, err3)
	}
}

// during is a stdout that does something at each write.
type during struct {
	strings.Builder
	do func() error
}

func (d *during) Write(p []byte) (int, error) {
	if err := d.do(); err != nil {
		return 0, err
	}
	return d.Builder.Write(p)
}

// TestCrops compares each crop with the pixels of its box.
func TestCrops(t *testing.T) {
	out, input := t.TempDir(), filepath.Join(formats, "rgb.png")
	args := []string{"detect", "-q", "dog", "-q", "a/b", "--alike", "1", "--models", tinyModels, "--proposals", "5", "--threshold", "0", "--top-k", "2", "--crops", "--out", out}
	code, stdout, stderr := clipdet(t, append(args, input)...)
	if code != exit.CodeDone || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	whole, err := pixels.DecodeFile(input, pixels.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	found := parse[picture](t, stdout).Detections
	for i, d := range found {
		path := filepath.Join(out, "crops", strings.ReplaceAll(d.Query, "/", "_"), fmt.Sprintf("rgb.%d.png", i+1))
		crop, err := pixels.DecodeFile(path, pixels.Limits{})
		if err != nil {
			t.Error(err)
			continue
		}
		x, y := int(d.Box.X0), int(d.Box.Y0)
		if want := whole.At(x, y); crop.At(0, 0) != want || crop.Width < int(d.Box.X1)-x || crop.Height < int(d.Box.Y1)-y {
			t.Errorf("%s is %d x %d and begins with %v; want the box %v and %v", path, crop.Width, crop.Height, crop.At(0, 0), d.Box, want)
		}
	}
	if files, err := filepath.Glob(filepath.Join(out, "*")); err != nil || len(files) != 2 || len(found) < 2 {
		t.Errorf("--out has %q (%v) for %d detections, want the results and crops alone", files, err, len(found))
	}
	crops, err := filepath.Glob(filepath.Join(out, "crops", "dog", "*.png"))
	if err != nil || len(crops) == 0 {
		t.Fatalf("%q, %v", crops, err)
	}
	if code, _, stderr := clipdet(t, append(args, "--overwrite", crops[0])...); code != exit.CodeUsage || !strings.Contains(stderr, "choose another --out") {
		t.Errorf("a crop as the input: exit code %d, stderr %q", code, stderr)
	}
}

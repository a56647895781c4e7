package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// TestShards does a list in shards, as processes of a scheduler would: one is killed, one
// finds a broken picture, and one runs twice. Together they find what one run finds.
func TestShards(t *testing.T) {
	const shards = 4
	broken := filepath.Join(t.TempDir(), "broken.jpg")
	if err := os.WriteFile(broken, []byte("none"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"detect", "-q", "dog", "-q", "owl", "--alike", "1", "--models", tinyModels, "--proposals", "5", "--threshold", "0", "--format", "jsonl", formats, broken}
	code, whole, _ := clipdet(t, args...)
	if code != exit.CodeInputs {
		t.Fatalf("exit code %d", code)
	}
	_, want := found(t, whole)

	out := t.TempDir()
	args = append(args, "--out", out, "--shard", fmt.Sprintf("env/%d", shards))
	child := exec.Command(os.Args[0], args...)
	child.Env = append(os.Environ(), asCommand+"=1", "JOB_COMPLETION_INDEX=1")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if partial, err := filepath.Glob(filepath.Join(out, ".*")); err == nil && len(partial) > 0 {
			break // it has begun
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if _, err := os.Stat(filepath.Join(out, "shard-00002.jsonl")); err == nil {
		t.Error("a killed process left a shard under its name")
	}

	var got []string
	failed := 0
	for i := range shards {
		t.Setenv("JOB_COMPLETION_INDEX", fmt.Sprint(i))
		code, stdout, stderr := clipdet(t, args...)
		path := filepath.Join(out, fmt.Sprintf("shard-%05d.jsonl", i+1))
		data, err := os.ReadFile(path)
		if err != nil || stdout != string(data) {
			t.Errorf("shard %d: exit code %d, %v, stdout %q, the file %q, stderr %q", i+1, code, err, stdout, data, stderr)
		}
		if code == exit.CodeInputs && strings.Contains(stderr, "broken.jpg") {
			failed++
		} else if code != exit.CodeDone {
			t.Errorf("shard %d: exit code %d, stderr %q", i+1, code, stderr)
		}
		_, detections := found(t, string(data))
		got = append(got, detections...)

		code, stdout, stderr = clipdet(t, args...)
		after, err := os.ReadFile(path)
		if err != nil || code != exit.CodeDone || stdout != "" || string(after) != string(data) || !strings.Contains(stderr, "is done already, with "+strconv.Itoa(strings.Count(string(data), `"error"`))+" pictures that failed") {
			t.Errorf("shard %d again: exit code %d, %v, stdout %q, stderr %q", i+1, code, err, stdout, stderr)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if failed != 1 || !slices.Equal(got, want) {
		t.Errorf("%d shards failed, want 1; they found\n%s\nwant\n%s", failed, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	for _, test := range []struct {
		more []string
		says string
	}{
		{[]string{"--threshold", "0.5"}, "choice of boxes"},
		{[]string{"-q", "cat"}, "models, queries or scoring"},
		{[]string{"--shard", "1/5"}, "shards or pictures"},
		{[]string{filepath.Join(formats, "420.jpg")}, "shards or pictures"},
		{[]string{"--shard", "5/4"}, "--shard"},
		{[]string{"--resume"}, "leave --resume"},
		{[]string{"--format", "csv"}, "--shard needs --format jsonl"},
	} {
		code, _, stderr := clipdet(t, append(slices.Clone(args), test.more...)...)
		if code != exit.CodeUsage || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, stderr %q; want %d and %q", test.more, code, stderr, exit.CodeUsage, test.says)
		}
	}
	damaged := filepath.Join(out, fmt.Sprintf("shard-%05d.jsonl", shards))
	if err := os.WriteFile(damaged, []byte("garbage\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clipdet(t, args...); code != exit.CodeInputs || !strings.Contains(stderr, damaged+": line 1") {
		t.Errorf("a damaged shard: exit code %d, stderr %q; want %d and %s", code, stderr, exit.CodeInputs, damaged)
	}
}

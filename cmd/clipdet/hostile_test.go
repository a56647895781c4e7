package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// TestHostileNames has file names that would start lines of their own. The drawings of
// these files must stay in --out.
func TestHostileNames(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(formats, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	names := []string{"a\nclipdet: b.jpg", "\x1b[31mred.jpg", "\xff.jpg", "..jpg", "...jpg", "-q.jpg", "\\..\\..\\x.jpg", strings.Repeat("é", 120) + ".jpg"}
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		for path, data := range map[string][]byte{name: whole, fmt.Sprintf("bad%d%s", i, name): whole[:100]} {
			if err := os.WriteFile(filepath.Join(in, path), data, 0o644); err != nil && len(path) < 240 {
				t.Fatal(err)
			}
		}
	}
	code, stdout, stderr := clipdet(t, "detect", "-q", "dog", "--models", tinyModels, "--format", "jsonl", "--pictures", "-o", out,
		// The directory doesn't stand for the hidden files ..jpg and ...jpg, so they are
		// named.
		"--threshold", "0", "--top-k", "1", "--proposals", "5", in, filepath.Join(in, "..jpg"), filepath.Join(in, "...jpg"))
	if code != exit.CodeInputs {
		t.Errorf("exit code %d, want %d\n%s", code, exit.CodeInputs, stderr)
	}
	if strings.Contains(stderr+stdout, "\x1b") || !utf8.ValidString(stderr+stdout) {
		t.Errorf("a name's bytes went out as they are:\n%q\n%q", stderr, stdout)
	}
	for line := range strings.Lines(stderr) {
		if !strings.Contains(line, "bad") && !strings.Contains(line, "pictures failed") {
			t.Errorf("a line that no message of ours has: %q", line)
		}
	}
	if want := `in/bad0a\nclipdet: b.jpg": `; !strings.Contains(stderr, want) {
		t.Errorf("stderr does not say %s:\n%s", want, stderr)
	}
	done := 0
	for line := range strings.Lines(stdout) {
		if p := parse[picture](t, line); p.Error == "" {
			done++
		}
	}
	drawn, err := filepath.Glob(filepath.Join(out, "*.detections.png"))
	if err != nil || done != len(names) {
		t.Errorf("%d pictures are done, want %d (%v)", done, len(names), err)
	}
	hidden, _ := filepath.Glob(filepath.Join(out, ".*.detections.png")) // of ..jpg
	if len(drawn)+len(hidden) < len(names) {
		t.Errorf("drawn are %q and %q, want %d", drawn, hidden, len(names))
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 2 {
		t.Errorf("beside in and out there is more: %v (%v)", all, err)
	}
}

// TestFullDisk writes where there is no space. The error must name the place, no half
// file may be left, and the exit code must be CodeInputs.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, format := range []string{"json", "jsonl", "coco", "coco-results", "csv"} {
		out := t.TempDir()
		var stderr strings.Builder
		code := run(t.Context(), []string{"detect", "-q", "dog", "--models", tinyModels, "--format", format, "-o", out, "--threshold", "0",
			filepath.Join(formats, "420.jpg"), filepath.Join(formats, "422.jpg")}, full, &stderr)
		if code != exit.CodeInputs || !strings.Contains(stderr.String(), "/dev/full") || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: exit code %d, want %d; stderr is %q", format, code, exit.CodeInputs, stderr.String())
		}
		if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left in --out, want nothing (%v)", format, left, err)
		}
	}
	for _, args := range [][]string{
		{"models", "verify", tinyModels}, {"models", "list", tinyModels}, {"models", "inspect", filepath.Join(tinyModels, "rpn.pt")},
		{"doctor", "--models", tinyModels}, {"schema"}, {"--version"}, {"--help"},
	} {
		var stderr strings.Builder
		code := run(t.Context(), args, full, &stderr)
		if code != exit.CodeInputs || !strings.Contains(stderr.String(), "no space left") || strings.Contains(stderr.String(), "usage") {
			t.Errorf("%q: exit code %d, want %d; stderr is %q", args, code, exit.CodeInputs, stderr.String())
		}
	}
}

// TestNoEndlessInputs names inputs that never end or never begin.
func TestNoEndlessInputs(t *testing.T) {
	pipe := fifo(t, "pipe.jpg")
	code, stdout, stderr := clipdet(t, "detect", "-q", "dog", "--models", tinyModels, "--format", "jsonl", pipe, "/dev/zero", "/dev/full",
		filepath.Join(formats, "420.jpg"))
	if code != exit.CodeInputs || strings.Count(stdout, `"error"`) != 3 || strings.Count(stdout, `"detections"`) != 1 || !strings.Contains(stderr, pipe) {
		t.Errorf("exit code %d, want %d, three errors and a result:\n%s%s", code, exit.CodeInputs, stdout, stderr)
	}
	for _, args := range [][]string{{"--templates", fifo(t, "t.txt")}, {"--templates", "/dev/zero"}, {"--calibration", fifo(t, "c.json")},
		{"--calibration", "/dev/zero"}, {"--annotations", fifo(t, "a.json")}, {"--ids", fifo(t, "i.json")}, {"--ids", "/dev/zero"}} {
		command := "detect"
		if args[0] == "--annotations" {
			command = "calibrate"
		}
		if args[0] == "--ids" {
			args = append(args, "--format", "coco")
		}
		if code, _, stderr := clipdet(t, append(args, command, "-q", "dog", "x.jpg")...); code != exit.CodeUsage || !strings.Contains(stderr, args[1]) {
			t.Errorf("%v: exit code %d, want %d; stderr is %q", args, code, exit.CodeUsage, stderr)
		}
	}
	shard := fifo(t, "shard.jsonl")
	code, _, stderr = clipdet(t, "eval", "merge", "--annotations", filepath.Join(scenes, "instances.json"), shard)
	if code != exit.CodeUsage || !strings.Contains(stderr, shard) {
		t.Errorf("a pipe of records: exit code %d, want %d; stderr is %q", code, exit.CodeUsage, stderr)
	}
	models := filepath.Dir(fifo(t, "rpn.pt"))
	for _, args := range [][]string{{"models", "list", models}, {"models", "inspect", filepath.Join(models, "rpn.pt")}, {"models", "verify", models},
		{"models", "inspect", "/dev/zero"}, {"detect", "-q", "dog", "--models", models, "x.jpg"}} {
		if code, stdout, stderr := clipdet(t, args...); code != exit.CodeSetup || !strings.Contains(stdout+stderr, "not a regular file") {
			t.Errorf("%v: exit code %d, want %d, and why:\n%s%s", args, code, exit.CodeSetup, stdout, stderr)
		}
	}
}

// TestLimits exceeds each limit.
func TestLimits(t *testing.T) {
	image := filepath.Join(formats, "420.jpg")
	templates := filepath.Join(t.TempDir(), "templates.txt")
	if err := os.WriteFile(templates, []byte(strings.Repeat("a {}\n", 1001)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-q", "a", "-q", "b", "--max-queries", "1"}, exit.CodeUsage, "--max-queries is 1"},
		{[]string{"-q", "a=" + strings.Repeat("b|", 1000) + "b"}, exit.CodeUsage, "1001 phrases"},
		{[]string{"-q", strings.Repeat("a", 5000)}, exit.CodeUsage, "5000 bytes"},
		{[]string{"-q", "&" + strings.Repeat("amp;", 30_000)}, exit.CodeUsage, "120001 bytes"},
		{[]string{"-q", "a", "--templates", templates}, exit.CodeUsage, "line 1001"},
		{[]string{"-q", "a", "--max-queries", "0"}, exit.CodeUsage, "--max-queries 0"},
		{[]string{"-q", "a", "--max-detections", "0"}, exit.CodeUsage, "--max-detections 0"},
		{[]string{"-q", "a", "--max-megabytes", "0"}, exit.CodeUsage, "--max-megabytes 0"},
		{[]string{"-q", "a", "--max-detections", "3", "--threshold", "0", "--nms", "1"}, exit.CodeInputs, "and 3 are taken"},
	} {
		code, _, stderr := clipdet(t, append(append([]string{"detect", "--models", tinyModels}, test.args...), image)...)
		if code != test.code || !strings.Contains(stderr, test.says) || len(stderr) > 1000 {
			t.Errorf("%.60q: exit code %d, want %d; stderr is %.300q, want %q", test.args, code, test.code, stderr, test.says)
		}
	}
}

// FuzzFlags parses any command line of detect up to the plan. No model is loaded. The
// result must be an error or a plan that has what was asked for.
func FuzzFlags(f *testing.F) {
	for _, seed := range []string{
		"-q\ndog\nx.jpg", "-q\nbike=a bicycle|a mountain bike\n--top-k\n5\n--nms=1\nx.jpg", "--threshold\nNaN\n-q\ndog", "--proposals\n-1\n-q\na",
		"--crop-context\n1e308\n-q\na", "--rank=cosine\n-q\na\n--threshold=-1", "-q\n=\n", "-q\n\xff", "--device\ncuda:99999999999999999999\n-q\na",
		"--max-queries=1\n-q\na\n-q\nb", "--threads=9223372036854775808\n-q\na", "-vq=a=b", "--\n-q\na", "--dtype\nint8", "--format\njson\n-q\na{}b",
		"--templates\n/dev/null\n-q\na", "-o\n\n-q\na", "--top-k=0x7fffffffffffffff\n-q\na",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var flags detectFlags
		cmd := flags.command()
		args := strings.Split(text, "\n")
		for _, arg := range args { // it must not read arbitrary files
			if strings.Contains(arg, "templates") && !strings.Contains(text, "/dev/null") || strings.Contains(arg, "text-cache") {
				return
			}
		}
		planned := false
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			p, err := flags.Plan(cmd)
			planned = err == nil
			if planned && (len(p.Queries) != len(flags.Queries) || len(p.Queries) == 0 || p.Options.Proposals < 1 || p.Params.TopK < 0) {
				t.Errorf("%q: the plan %+v was let through", args, p)
			}
			return err
		}
		cmd.SetArgs(args)
		cmd.SetOut(&strings.Builder{})
		cmd.SetErr(&strings.Builder{})
		if err := cmd.Execute(); planned && err != nil {
			t.Errorf("%q: planned, and %v", args, err)
		}
	})
}

// fifo creates a named pipe without a writer.
func fifo(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

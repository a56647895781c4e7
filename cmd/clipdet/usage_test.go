package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/device"
)

// asCommand is the environment variable that makes the test program run as the command,
// for tests that need another process.
const asCommand = "CLIPDET_TEST_AS_COMMAND"

// atStart is the address space of the test program in KB before any test. It is the same
// when it runs as the command.
var atStart int64

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main() // ends the process
	}
	// If it can't be read, the test that needs it fails.
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		_, rest, _ := strings.Cut(string(status), "VmSize:")
		_, _ = fmt.Sscan(rest, &atStart)
	}
	code := m.Run()
	if n := device.LiveTensors(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d tensors are alive after all tests, want 0\n", n)
		code = 1
	}
	os.Exit(code)
}

// clipdet runs the command in this process.
func clipdet(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

var paceLine = regexp.MustCompile(`(?m)^clipdet: \d+ of \d+ pictures, \S+ left\n`)

// withoutPace returns what is on stderr apart from the lines of progress, which depend on
// the machine.
func withoutPace(stderr string) string { return paceLine.ReplaceAllString(stderr, "") }

// tree creates a new current directory with empty files, and with directories for names
// that end in a slash.
func tree(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	tree(t, "templates.txt", "file", "a.png")
	if err := os.WriteFile("bad.txt", []byte("# mine\na photo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const one = `{"categories": [{"id": 1, "name": "dog"}], "annotations": [], "images": [`
	for path, data := range map[string]string{
		"empty.json": one + `]}`, "nameless.json": one + `{"id": 1}]}`, "good.json": one + `{"id": 1, "file_name": "a.png"}]}`,
		"same.json": one + `{"id": 1, "file_name": "x"}, {"id": 2, "file_name": "x"}]}`,
	} {
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("very ", 100) + "long"
	if err := os.WriteFile("long.txt", []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		says string
	}{
		{[]string{"find"}, `unknown command "find"`},
		{[]string{"detekt"}, `unknown command "detekt" for "clipdet"; did you mean detect?`},
		{[]string{"--nope"}, "--nope"},
		{[]string{"detect"}, "no picture"},
		{[]string{"detect", "-q", "dog"}, "no picture"},
		{[]string{"detect", "a.png"}, "--query"},
		{[]string{"detect", "-q", "", "a.png"}, "name is empty"},
		{[]string{"detect", "-q", "dog", "--models", "models", "--lock", "", "a.png"}, "--lock: its value is empty"},
		{[]string{"detect", "-q", "dog", "--calibration=", "a.png"}, "--calibration: its value is empty"},
		{[]string{"detect", "-q", "dog=", "a.png"}, "phrase 1 is empty"},
		{[]string{"detect", "-q", "dog", "-q", "dog=a dog", "a.png"}, `"dog" is given twice`},
		{[]string{"detect", "-q", "x=" + long, "a.png"}, "--query"},
		{[]string{"detect", "-q", "dog", "--format", "xml", "a.png"}, "json, jsonl, coco, coco-results, csv, yolo"},
		{[]string{"detect", "-q", "dog", "--rank", "best", "a.png"}, "fused, mean, probability, cosine"},
		{[]string{"detect", "-q", "dog", "--crop", "round", "a.png"}, "clip, squash, pad"},
		{[]string{"detect", "-q", "dog", "--dtype", "int4", "a.png"}, "auto, float32, bfloat16, float16"},
		{[]string{"detect", "-q", "dog", "--device", "gpu", "a.png"}, "cuda:N"},
		{[]string{"detect", "-q", "dog", "--proposals", "0", "a.png"}, "--proposals 0"},
		{[]string{"detect", "-q", "dog", "--proposals", "many", "a.png"}, `"many"`},
		{[]string{"detect", "-q", "dog", "--top-k", "-1", "a.png"}, "--top-k -1"},
		{[]string{"detect", "-q", "dog", "--threads", "-1", "a.png"}, "--threads -1"},
		{[]string{"detect", "-q", "dog", "--threads", "100000", "a.png"}, "--threads 100000"},
		{[]string{"detect", "-q", "dog", "--threshold", "50", "a.png"}, "--threshold 50"},
		{[]string{"detect", "-q", "dog", "--threshold", "NaN", "a.png"}, "--threshold NaN"},
		{[]string{"detect", "-q", "dog", "--nms", "0", "a.png"}, "--nms 0"},
		{[]string{"detect", "-q", "dog", "--crop-context", "-1", "a.png"}, "--crop-context"},
		{[]string{"detect", "-q", "dog", "--crop-context", "1e9", "a.png"}, "--crop-context"},
		{[]string{"detect", "-q", "dog", "--max-megapixels", "0", "a.png"}, "--max-megapixels 0"},
		{[]string{"detect", "-q", "dog", "--templates", "none.txt", "a.png"}, "none.txt"},
		{[]string{"detect", "-q", "dog", "--templates", "templates.txt", "a.png"}, "templates.txt"},
		{[]string{"detect", "-q", "dog", "--templates", "bad.txt", "a.png"}, "line 2"},
		{[]string{"detect", "-q", "dog", "--pictures", "a.png"}, "--out"},
		{[]string{"detect", "-q", "dog", "--out", "file/x", "a.png"}, "--out"},
		{[]string{"detect", "-q", "dog", "--format", "yolo", "a.png"}, "--out"},
		{[]string{"detect", "-q", "dog", "--crop-context", "1,0", "a.png"}, "--crop-context 0"},
		{[]string{"detect", "-q", "dog", "--crop-context", "1,wide", "a.png"}, "--crop-context"},
		{[]string{"detect", "-q", "dog", "--background", "none.txt", "a.png"}, "none.txt"},
		{[]string{"detect", "-q", "dog", "--background", "templates.txt", "a.png"}, "templates.txt"},
		{[]string{"detect", "-q", "dog", "--background", "long.txt", "a.png"}, "long.txt"},
		{[]string{"detect", "-q", "dog", "--soft-nms", "-1", "a.png"}, "--soft-nms -1"},
		{[]string{"detect", "-q", "dog", "--soft-nms", "0.5", "--rank", "cosine", "a.png"}, "--rank"},
		{[]string{"detect", "-q", "dog", "--box-voting", "1", "a.png"}, "--box-voting 1"},
		{[]string{"detect", "-q", "dog", "--contained", "NaN", "a.png"}, "--contained NaN"},
		{[]string{"detect", "-q", "dog=@none.png", "a.png"}, "none.png"},
		{[]string{"detect", "-q", "dog=@a.png", "a.png"}, "a.png"},
		{[]string{"detect", "-q", "@a.png", "a.png"}, "put NAME= before"},
		{[]string{"detect", "-q", "dog=a dog::heavy", "a.png"}, `"heavy"`},
		{[]string{"detect", "-q", "dog=-" + long, "a.png"}, "--query"},
		{[]string{"detect", "-q", "dog", "--calibration", "none.json", "a.png"}, "none.json"},
		{[]string{"detect", "-q", "dog", "--calibration", "bad.txt", "a.png"}, "unusable calibration"},
		{[]string{"detect", "-q", "dog", "--calibration", "bad.txt", "--threshold", "0.5", "a.png"}, "leave one"},
		{[]string{"index", "--out", "ix"}, "no picture"},
		{[]string{"index", "a.png"}, "--out is missing"},
		{[]string{"index", "--out", "ix", "--shard", "3/2", "a.png"}, `--shard "3/2"`},
		{[]string{"index", "--out", "ix", "--max-regions", "0", "a.png"}, "--max-regions 0"},
		{[]string{"index", "--out", "ix", "--shard-regions", "-1", "a.png"}, "--shard-regions -1"},
		{[]string{"index", "compact"}, "0 arguments"},
		{[]string{"search", "-q", "dog"}, "--index is missing"},
		{[]string{"search", "--index", "ix"}, "--query"},
		{[]string{"search", "--index", "ix", "-q", "dog", "a.png"}, "takes no picture"},
		{[]string{"search", "--index", "ix", "-q", "dog", "--top-k", "0"}, "--top-k 0"},
		{[]string{"search", "--index", "ix", "-q", "dog", "--min-size", "NaN"}, "--min-size NaN"},
		{[]string{"search", "--index", "ix", "-q", "dog", "--path", "["}, "--path"},
		{[]string{"calibrate", "-q", "dog"}, "no picture"},
		{[]string{"calibrate", "a.png"}, "--query"},
		{[]string{"calibrate", "-q", "dog", "--quantile", "0", "a.png"}, "--quantile 0"},
		{[]string{"calibrate", "-q", "dog", "--out", "none/x.json", "a.png"}, "no such directory"},
		{[]string{"calibrate", "-q", "dog", "--annotations", "none.json", "a.png"}, "none.json"},
		{[]string{"calibrate", "-q", "dog", "--annotations", "bad.txt", "a.png"}, "bad.txt"},
		{[]string{"eval"}, "--annotations"},
		{[]string{"eval", "a.png"}, "--images"},
		{[]string{"eval", "--annotations", "none.json"}, "--images DIR"},
		{[]string{"eval", "--images", "none", "--annotations", "none.json"}, "--images: "},
		{[]string{"eval", "--images", "a.png", "--annotations", "none.json"}, "no directory"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json"}, "none.json"},
		{[]string{"eval", "--images", ".", "--annotations", "a.png"}, "not in COCO's format"},
		{[]string{"eval", "--images", ".", "--annotations", "empty.json"}, "nothing to measure"},
		{[]string{"eval", "--images", ".", "--annotations", "nameless.json"}, "neither file_name nor coco_url"},
		{[]string{"eval", "--images", ".", "--annotations", "same.json"}, `both have the file_name "x"`},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "-q", "dog"}, "--phrasings"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "--shard", "0/2"}, "--shard"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "--shard", "3/2"}, "--shard"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "--shard", "1/2/3"}, "--shard"},
		{[]string{"eval", "--images", ".", "--annotations", "good.json", "--max-detections", "-1"}, "--max-detections -1"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "--memory", "0"}, "--memory 0"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "--json", "none/a.json"}, "no such directory"},
		{[]string{"eval", "--images", ".", "--annotations", "none.json", "--records", "."}, "no file"},
		{[]string{"eval", "--images", ".", "--annotations", "good.json", "--nms", "0"}, "--nms 0"},
		{[]string{"eval", "--images", ".", "--annotations", "good.json", "--phrasings", "none.txt"}, "none.txt"},
		{[]string{"eval", "--images", ".", "--annotations", "good.json", "--ablate", "--results", "r.json"}, "--results is of one evaluation"},
		{[]string{"eval", "merge"}, "no records"},
		{[]string{"eval", "merge", "x.jsonl"}, "--annotations"},
		{[]string{"models"}, "list, inspect, verify, compare or lock"},
		{[]string{"models", "lock"}, "want one DIR"},
		{[]string{"models", "lock", "torn", "--out", "x.pt"}, "*.json"},
		{[]string{"detect", "-q", "dog", "--lock", "lock.json", "a.png"}, "--models"},
		{[]string{"doctor", "--models", "lock.json", "--lock", "lock.json"}, "--models"},
		{[]string{"models", "delete"}, `unknown command "delete"`},
		{[]string{"models", "inspect"}, "want one FILE"},
		{[]string{"models", "verify", "a", "b"}, "one at a time"},
		{[]string{"models", "verify", "--device", "tpu"}, "cuda:N"},
		{[]string{"doctor", "now"}, `"now"`},
		{[]string{"schema", "json"}, `"json"`},
	}
	for _, test := range tests {
		code, stdout, stderr := clipdet(t, test.args...)
		if code != exit.CodeUsage {
			t.Errorf("%q: exit code %d, want %d", test.args, code, exit.CodeUsage)
		}
		if !strings.Contains(stderr, test.says) || !strings.Contains(stderr, "--help") {
			t.Errorf("%q: stderr is %q, want it to say %q and name --help", test.args, stderr, test.says)
		}
		if stdout != "" {
			t.Errorf("%q: stdout is %q, want nothing", test.args, stdout)
		}
	}
}

func TestModelsThatDoNotWork(t *testing.T) {
	tree(t, "empty/", "torn/rpn.pt", "a.png")
	tests := []struct {
		args []string
		says string
	}{
		{[]string{"detect", "-q", "dog", "--models", "none", "a.png"}, "none"},
		{[]string{"detect", "-q", "dog", "--models", "empty", "a.png"}, "no rpn"},
		{[]string{"detect", "-q", "dog", "--models", "torn", "a.png"}, "rpn.pt"},
		{[]string{"detect", "-q", "dog", "--device", "cuda:99", "a.png"}, "cuda:99"},
		{[]string{"detect", "-q", "dog", "--models", "none/lock.json", "a.png"}, "unusable lock file"},
		{[]string{"models", "lock", "empty"}, "no rpn"},
		{[]string{"models", "lock", "torn"}, "rpn.pt"},
		{[]string{"models", "list", "none"}, "none"},
		{[]string{"models", "list", "empty"}, "no *.pt"},
		{[]string{"models", "list", "torn"}, "rpn.pt"},
		{[]string{"models", "inspect", "none.pt"}, "none.pt"},
		{[]string{"models", "inspect", filepath.Join("torn", "rpn.pt")}, "not a TorchScript archive"},
		{[]string{"models", "verify", "empty"}, "no rpn"},
		{[]string{"models", "verify", "torn"}, "rpn.pt"},
		{[]string{"doctor", "--models", "empty"}, "1 of the above"},
		{[]string{"doctor", "--device", "cuda:99"}, "of the above"},
	}
	for _, test := range tests {
		code, _, stderr := clipdet(t, test.args...)
		if code != exit.CodeSetup {
			t.Errorf("%q: exit code %d, want %d", test.args, code, exit.CodeSetup)
		}
		if !strings.Contains(stderr, test.says) {
			t.Errorf("%q: stderr is %q, want it to say %q", test.args, stderr, test.says)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"--help", "detect --help", "calibrate --help", "eval --help", "eval merge --help", "models --help", "models list --help", "models inspect --help",
		"models verify --help", "models lock --help", "doctor --help", "schema --help", "--version", "completion bash", "completion zsh", "completion fish"} {
		code, stdout, stderr := clipdet(t, strings.Fields(args)...)
		if code != exit.CodeDone || stdout == "" || stderr != "" {
			t.Errorf("%s: exit code %d, %d bytes on stdout, stderr %q; want 0, some and none", args, code, len(stdout), stderr)
		}
		for i, line := range strings.Split(stdout, "\n") {
			if strings.HasSuffix(args, "--help") && !strings.HasPrefix(strings.TrimSpace(line), "-") && len(line) > 100 {
				t.Errorf("%s: line %d is %d characters long, want at most 100: %s", args, i+1, len(line), line)
			}
		}
	}
}

// TestCompletion uses the hidden command __complete, by which a shell asks the program
// for completions.
func TestCompletion(t *testing.T) {
	tests := []struct{ args, want string }{
		{"detect --format ", "json jsonl coco coco-results csv yolo"},
		{"detect --device ", "auto cpu cuda:0"},
		{"detect --rank ", "fused mean probability cosine"},
		{"detect --crop ", "auto clip squash pad"},
		{"detect --dtype ", "auto float32 bfloat16 float16 int8 unmeasured"},
		{"models i", "inspect"},
	}
	for _, test := range tests {
		code, stdout, _ := clipdet(t, append([]string{"__complete"}, strings.Split(test.args, " ")...)...)
		var words []string
		for line := range strings.Lines(stdout) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		if got := strings.Join(words, " "); code != exit.CodeDone || got != test.want {
			t.Errorf("completing %q: got %q (exit code %d), want %q", test.args, got, code, test.want)
		}
	}
}

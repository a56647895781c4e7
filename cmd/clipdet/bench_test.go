package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/bench"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/model"
)

// runBench runs the command with the tiny models and little work. It fails the test if a
// file is left in the temporary directory.
func runBench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	args = append([]string{"bench", "--models", tinyModels, "--device", "cpu", "--threads", "1", "--proposals", "5", "--rounds", "2",
		"--warm-up", "1", "-q", "dog", "-q", "cat=a cat|a kitten", "--batch-sizes", "4,1"}, args...)
	code, stdout, stderr = clipdet(t, args...)
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("%v is left in the temporary directory (%v)", left, err)
	}
	return code, stdout, stderr
}

func TestBenchMeasuresMadePictures(t *testing.T) {
	dir := t.TempDir()
	file, plot := filepath.Join(dir, "bench.json"), filepath.Join(dir, "bench.svg")
	code, stdout, stderr := runBench(t, "--images", "3", "--size", "60x40", "--json", file, "--plot", plot)
	if code != exit.CodeDone || !strings.Contains(stderr, "stage by stage") {
		t.Fatalf("exit code %d, stderr %q; want 0 and how far it is", code, stderr)
	}
	for _, word := range []string{"Nothing was run on a GPU", "images", "crops", "phrases", "decode", "p99", "of peak", "memory"} {
		if !strings.Contains(stdout, word) {
			t.Errorf("the table lacks %q:\n%s", word, stdout)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := parse[bench.Report](t, string(data))

	if m := r.Machine; m.CPU == "" || m.Cores < 1 || m.Threads != 1 || m.Memory <= 0 || m.Device != "cpu" || m.GPU != nil {
		t.Errorf("the machine is %+v", m)
	}
	if c := r.DType; c.Taken != model.Float32 || c.Why == "" || !strings.Contains(stdout, "dtype      float32: "+c.Why) {
		t.Errorf("the type of weights is %+v, want float32, and why, in the table too:\n%s", c, stdout)
	}
	if len(r.NotMeasured) != 1 || !strings.Contains(r.NotMeasured[0], "GPU") {
		t.Errorf("not measured: %q, want that nothing ran on a GPU", r.NotMeasured)
	}
	for _, name := range []string{"clipdet", "go", "gotch", "libtorch"} {
		if r.Versions[name] == "" {
			t.Errorf("there is no version of %s", name)
		}
	}
	for name, want := range map[string]string{"images": "3", "rounds": "2", "query": "[dog,cat=a cat|a kitten]", "proposals": "5", "nms": "0.5"} {
		if got := r.Flags[name]; got != want {
			t.Errorf("--%s is %q, want %q", name, got, want)
		}
	}
	for i, kind := range []model.Kind{model.RPN, model.CLIPImage, model.CLIPText} {
		if m := r.Models[i]; m.Kind != kind || len(m.Digest) != 64 || m.DType != model.Float32 || m.FLOPs <= 0 || m.Weights == "" {
			t.Errorf("model %d is %+v, want %s with all that there is to say", i, m, kind)
		}
	}
	// There are at least seven templates for dog, two phrases of cat and one of the
	// background.
	if w := r.Workload; w.Pictures != 3 || w.Different != 3 || w.Made != "60x40" || w.Queries != 2 || w.Phrases < 7+2+1 ||
		w.Proposals <= 0 || w.Proposals > 5 || math.Abs(w.Megapixels-0.0024) > 1e-9 {
		t.Errorf("the work is %+v", w)
	}
	for name, s := range map[string]bench.Spread{"images": r.Throughput.Images, "crops": r.Throughput.Crops, "phrases": r.Throughput.Phrases, "text": r.Text} {
		if len(s.Values) != 2 || s.Min <= 0 || s.Min > s.Median || s.Median > s.Max {
			t.Errorf("%s: %+v, want two rounds", name, s)
		}
	}
	var names []string
	sum, share := 0.0, 0.0
	for _, s := range r.Stages {
		names = append(names, s.Name)
		sum, share = sum+s.Mean, share+s.Share
		if s.Median > s.P90 || s.P90 > s.P99 || s.Name != "other" && s.Median <= 0 {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
	if want := "decode upload rpn crop encode rank download draw other"; strings.Join(names, " ") != want {
		t.Errorf("the stages are %v, want %s", names, want)
	}
	if math.Abs(sum-r.Alone.Mean) > 1e-6*sum || math.Abs(share-1) > 1e-6 {
		t.Errorf("the stages take %v ms of %v, and %v of the whole", sum, r.Alone.Mean, share)
	}
	for name, w := range map[string]*bench.Work{"rpn": r.Operations.RPN, "encode": r.Operations.Encode, "text": r.Operations.Text, "rounds": r.Operations.Rounds} {
		if w == nil || w.FLOPs <= 0 || w.Rate <= 0 || w.Utilisation <= 0 || w.Of != model.Float32 {
			t.Errorf("operations of %s: %+v", name, w)
		}
	}
	if p := r.Peaks[model.Float32]; len(r.Peaks) != 1 || p.Rate <= 0 || p.Matrix != 1024 {
		t.Errorf("peaks are %+v, want one of float32", r.Peaks)
	}
	if len(r.Batches) != 2 || r.Batches[0].Size != 4 || r.Batches[1].Size != 1 || r.Batches[1].Crops.Median <= 0 {
		t.Errorf("batches are %+v, want 4 and 1", r.Batches)
	}
	if h := r.Memory.Host; h.Peak <= 0 || r.Memory.Device != nil {
		t.Errorf("memory is %+v", r.Memory)
	}

	drawn, err := os.ReadFile(plot)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(drawn, []byte("<circle")); n != 2 {
		t.Errorf("%d points are drawn, want 2", n)
	}
	for decoder := xml.NewDecoder(bytes.NewReader(drawn)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
}

// TestBenchMeasuresGivenPictures measures good and bad files without drawing and batch
// sizes.
func TestBenchMeasuresGivenPictures(t *testing.T) {
	good, bad := filepath.Join(formats, "420.jpg"), filepath.Join(t.TempDir(), "none.png")
	code, stdout, stderr := runBench(t, "--pictures=false", "--rounds", "1", "--warm-up", "0", "--images", "2", "--batch-sizes", "", good, bad)
	if code != exit.CodeInputs || !strings.Contains(stderr, bad) || !strings.Contains(stderr, "1 pictures") {
		t.Errorf("exit code %d, stderr %q; want %d, and the bad one named", code, stderr, exit.CodeInputs)
	}
	if !strings.Contains(stdout, "2 pictures a round,") || strings.Contains(stdout, "batch  ") {
		t.Errorf("want one picture twice, and no batch sizes:\n%s", stdout)
	}
	code, stdout, stderr = runBench(t, bad)
	if code != exit.CodeInputs || stdout != "" || !strings.Contains(stderr, "no picture can be read") {
		t.Errorf("no picture can be read: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestBenchAsksForTheQueriesOfAFile has names that are among the default ones, which are
// left out then.
func TestBenchAsksForTheQueriesOfAFile(t *testing.T) {
	names := filepath.Join(t.TempDir(), "names.txt")
	if err := os.WriteFile(names, []byte("bicycle\ndog\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := clipdet(t, "bench", "--models", tinyModels, "--device", "cpu", "--threads", "1", "--proposals", "5",
		"--images", "1", "--size", "60x40", "--rounds", "1", "--warm-up", "0", "--batch-sizes", "", "--pictures=false", "--queries", names)
	if code != exit.CodeDone || !strings.Contains(stdout, "; 2 queries,") {
		t.Errorf("exit code %d, stderr %q; want 0, and the 2 queries of the file in the table:\n%s", code, stderr, stdout)
	}
}

func TestBenchInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"bench", "--models", tinyModels, "--size", "9x9"}, &stdout, &stderr)
	if code != exit.CodeInputs || stdout.Len() > 0 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, stdout %q, stderr %q; want %d and that it was interrupted", code, &stdout, &stderr, exit.CodeInputs)
	}
}

func TestBenchUsage(t *testing.T) {
	tree(t, "file", "empty/")
	tests := []struct {
		args string
		code int
		says string
	}{
		{"--images -1", exit.CodeUsage, "--images -1"},
		{"--warm-up -1", exit.CodeUsage, "--warm-up -1"},
		{"--rounds 0", exit.CodeUsage, "--rounds 0"},
		{"--size 640", exit.CodeUsage, `--size "640"`},
		{"--size 0x5", exit.CodeUsage, `--size "0x5"`},
		{"--size 5x5x5", exit.CodeUsage, `--size "5x5x5"`},
		{"--size 5x99999", exit.CodeUsage, `--size "5x99999"`},
		{"--batch-sizes 1,0", exit.CodeUsage, "from 1 to"},
		{"--batch-sizes many", exit.CodeUsage, "many"},
		{"--plot a.png", exit.CodeUsage, ".svg"},
		{"--plot a.svg --batch-sizes=,", exit.CodeUsage, "--batch-sizes"},
		{"--json file/a.json", exit.CodeUsage, "no such directory"},
		{"--plot none/a.svg", exit.CodeUsage, "no such directory"},
		{"--json /dev/null", exit.CodeUsage, "it is there already, and no file"},
		{"--json file --plot a.svg --json a.svg", exit.CodeUsage, "--json is the same file"},
		{"--text-cache x", exit.CodeUsage, "leave it out"},
		{"--proposals 0", exit.CodeUsage, "--proposals 0"},
		{"--device gpu", exit.CodeUsage, "cuda:N"},
		{"--device cuda:99", exit.CodeSetup, "cuda:99"},
		{"--models empty", exit.CodeSetup, "no rpn"},
		{"--help", exit.CodeDone, ""},
	}
	for _, test := range tests {
		code, stdout, stderr := clipdet(t, append([]string{"bench", "--size", "9x9"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("bench %s: exit code %d, stderr %q; want %d and %q", test.args, code, stderr, test.code, test.says)
		}
		if (stdout == "") != (code != exit.CodeDone) {
			t.Errorf("bench %s: exit code %d with %d bytes on stdout", test.args, code, len(stdout))
		}
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(strings.TrimSpace(line), "-") && len(line) > 100 {
				t.Errorf("bench %s: a line of %d characters: %s", test.args, len(line), line)
			}
		}
	}
}

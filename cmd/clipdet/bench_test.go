package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

// runBench runs the command on the tiny models with little work, and a temporary directory of its own, which has to be
// empty afterwards.
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
	if code != exitDone || !strings.Contains(stderr, "stage by stage") {
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
	r := parse[benchReport](t, string(data))

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
	// Seven templates fill in dog; two phrases of cat and the background come to that.
	if w := r.Workload; w.Pictures != 3 || w.Different != 3 || w.Made != "60x40" || w.Queries != 2 || w.Phrases < 7+2+1 ||
		w.Proposals <= 0 || w.Proposals > 5 || math.Abs(w.Megapixels-0.0024) > 1e-9 {
		t.Errorf("the work is %+v", w)
	}
	for name, s := range map[string]spread{"images": r.Throughput.Images, "crops": r.Throughput.Crops, "phrases": r.Throughput.Phrases, "text": r.Text} {
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
	for name, w := range map[string]*work{"rpn": r.Operations.RPN, "encode": r.Operations.Encode, "text": r.Operations.Text, "rounds": r.Operations.Rounds} {
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

// TestBenchMeasuresGivenPictures gives good and bad files; drawing is off, and so are batch sizes.
func TestBenchMeasuresGivenPictures(t *testing.T) {
	good, bad := filepath.Join(formats, "420.jpg"), filepath.Join(t.TempDir(), "none.png")
	code, stdout, stderr := runBench(t, "--pictures=false", "--rounds", "1", "--warm-up", "0", "--images", "2", "--batch-sizes", "", good, bad)
	if code != exitInputs || !strings.Contains(stderr, bad) || !strings.Contains(stderr, "1 pictures") {
		t.Errorf("exit code %d, stderr %q; want %d, and the bad one named", code, stderr, exitInputs)
	}
	if !strings.Contains(stdout, "2 pictures a round,") || strings.Contains(stdout, "batch  ") {
		t.Errorf("want one picture twice, and no batch sizes:\n%s", stdout)
	}
	code, stdout, stderr = runBench(t, bad)
	if code != exitInputs || stdout != "" || !strings.Contains(stderr, "no picture can be read") {
		t.Errorf("no picture can be read: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestBenchInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"bench", "--models", tinyModels, "--size", "9x9"}, &stdout, &stderr)
	if code != exitInputs || stdout.Len() > 0 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, stdout %q, stderr %q; want %d and that it was interrupted", code, &stdout, &stderr, exitInputs)
	}
}

func TestBenchUsage(t *testing.T) {
	tree(t, "file", "empty/")
	tests := []struct {
		args string
		code int
		says string
	}{
		{"--images -1", exitUsage, "--images -1"},
		{"--warm-up -1", exitUsage, "--warm-up -1"},
		{"--rounds 0", exitUsage, "--rounds 0"},
		{"--size 640", exitUsage, `--size "640"`},
		{"--size 0x5", exitUsage, `--size "0x5"`},
		{"--size 5x5x5", exitUsage, `--size "5x5x5"`},
		{"--size 5x99999", exitUsage, `--size "5x99999"`},
		{"--batch-sizes 1,0", exitUsage, "from 1 to"},
		{"--batch-sizes many", exitUsage, "many"},
		{"--plot a.png", exitUsage, ".svg"},
		{"--plot a.svg --batch-sizes=,", exitUsage, "--batch-sizes"},
		{"--json file/a.json", exitUsage, "no such directory"},
		{"--plot none/a.svg", exitUsage, "no such directory"},
		{"--json /dev/null", exitUsage, "it is there already, and no file"},
		{"--json file --plot a.svg --json a.svg", exitUsage, "--json is the same file"},
		{"--text-cache x", exitUsage, "leave it out"},
		{"--proposals 0", exitUsage, "--proposals 0"},
		{"--device gpu", exitUsage, "cuda:N"},
		{"--device cuda:99", exitSetup, "cuda:99"},
		{"--models empty", exitSetup, "no rpn"},
		{"--help", exitDone, ""},
	}
	for _, test := range tests {
		code, stdout, stderr := clipdet(t, append([]string{"bench", "--size", "9x9"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("bench %s: exit code %d, stderr %q; want %d and %q", test.args, code, stderr, test.code, test.says)
		}
		if (stdout == "") != (code != exitDone) {
			t.Errorf("bench %s: exit code %d with %d bytes on stdout", test.args, code, len(stdout))
		}
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(strings.TrimSpace(line), "-") && len(line) > 100 {
				t.Errorf("bench %s: a line of %d characters: %s", test.args, len(line), line)
			}
		}
	}
	if names := strings.Fields(benchQueries); len(names) != 80 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != 80 {
		t.Errorf("%d names are asked for, want 80 different ones", len(names))
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{4, 1, 3, 2, 5}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.9: 4.6, 1: 5} {
		if got := quantile(values, q); math.Abs(got-want) > 1e-12 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := quantile([]float64{7}, 0.99); got != 7 {
		t.Errorf("the quantile of one value is %v, want 7", got)
	}
}

func TestWorkIsComparedWithThePeak(t *testing.T) {
	r := benchReport{Peaks: map[string]peak{model.Float32: {Rate: 100}, model.BFloat16: {Rate: 1000}}}
	// 100 pixels at 2, in 2 s at the peak; 4 crops at 500, in 2 s more.
	rpn, image := part{model.Float32, 2, 100}, part{model.BFloat16, 500, 4}
	if w := r.work(8, rpn, image); w == nil || w.FLOPs != 2200 || w.Utilisation != 0.5 || w.Of != "float32,bfloat16" {
		t.Errorf("got %+v, want half of the peak", w)
	}
	image.perUnit = 0
	if w := r.work(8, rpn, image); w != nil {
		t.Errorf("got %+v of operations that nobody counted", w)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 1.234: "1.23", 9.999: "10.0", 12.34: "12.3", 99.96: "100", 12345.6: "12346"} {
		if got := digits(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 5: "5", 0.25: "0.25", 1234567: "1,234,567", 12.5: "12.5", 100: "100"} {
		if got := plotNumber(v); got != want {
			t.Errorf("%v is plotted %q, want %q", v, got, want)
		}
	}
	for most, want := range map[float64]float64{3: 0.5, 435: 100, 8: 1, 9: 2, 80_000: 10_000} {
		if got := tick(most); math.Abs(got-want) > 1e-9*want {
			t.Errorf("ticks up to %v are %v apart, want %v", most, got, want)
		}
	}
	gpu := machine{CPU: "x", GPU: &gpuName{Name: "NVIDIA <H100>"}}
	if gpu.where() != "NVIDIA <H100>" {
		t.Errorf("%+v is %q", gpu, gpu.where())
	}
	if gpuInUse("cpu") != 0 {
		t.Error("the CPU has memory of a GPU in use")
	}
}

// FuzzSizes holds that what --batch-sizes and --size take is in bounds, and says the same when it is written again.
func FuzzSizes(f *testing.F) {
	for _, seed := range []string{"1,2,4,8,16,32,64", "", ",", "0", "1, 64 ,", "16385", "640x480", "1x10000", "10001x1", "-1x5", "640x", "640x480x3", "0x1F", "1\n2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		flags := benchFlags{batchSizes: text, size: text}
		if sizes, err := flags.batches(); err == nil {
			if len(sizes) > 0 && (slices.Min(sizes) < 1 || slices.Max(sizes) > 1<<14) {
				t.Errorf("--batch-sizes %q was taken as %d", text, sizes)
			}
			again := benchFlags{batchSizes: strings.Trim(strings.ReplaceAll(fmt.Sprint(sizes), " ", ","), "[]")}
			if same, err := again.batches(); err != nil || !slices.Equal(same, sizes) {
				t.Errorf("--batch-sizes %q was taken as %d, and %s as %d (%v)", text, sizes, again.batchSizes, same, err)
			}
		}
		if width, height, err := flags.pictureSize(); err == nil {
			if min(width, height) < 1 || max(width, height) > maxPictureSide {
				t.Errorf("--size %q was taken as %d x %d", text, width, height)
			}
			again := benchFlags{size: fmt.Sprintf("%dx%d", width, height)}
			if w, h, err := again.pictureSize(); err != nil || w != width || h != height {
				t.Errorf("--size %q was taken as %s, and that as %d x %d (%v)", text, again.size, w, h, err)
			}
		}
	})
}

package detect

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

// Processors of three kinds. libtorch computes bfloat16 on any, so the tests run on all.
var (
	plainCPU = torch.Processor{Name: "plain", Kind: "plain"}
	avxCPU   = torch.Processor{Name: "with AVX-512", Kind: "avx512_bf16", BFloat16: true}
	amxCPU   = torch.Processor{Name: "with AMX", Kind: "amx_bf16", BFloat16: true, AMX: true}
)

// twoTypes returns a folder of the test's own with the tiny models, the image tower in
// float32 and in bfloat16.
func twoTypes(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range []string{"tiny/rpn.pt", "tiny/clip-image.pt", "tiny/clip-text.pt", "half/clip-image.bfloat16.pt"} {
		data, err := os.ReadFile(filepath.Join("../../testdata/models", path))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func resolved(t *testing.T, c *chooser, options Options) (archive.Files, DTypeChoice) {
	t.Helper()
	options.Device = "cpu"
	if options.Threads == 0 {
		options.Threads = 1 // go test runs packages side by side
	}
	device, options, err := options.complete()
	if err != nil {
		t.Fatal(err)
	}
	files, choice, err := c.resolve(t.Context(), options, device)
	if err != nil {
		t.Fatal(err)
	}
	return files, choice
}

func TestChoicesWithoutMeasuring(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	both := model.Dir(twoTypes(t))
	for _, test := range []struct {
		name   string
		host   torch.Processor
		models model.Set
		dtype  string
		want   string // of the image tower
		why    string
	}{
		{"no instructions", plainCPU, both, "", model.Float32, "no instructions for bfloat16 (plain)"},
		{"no instructions, unmeasured", plainCPU, both, Unmeasured, model.Float32, "no instructions for bfloat16"},
		{"AMX, unmeasured", amxCPU, both, Unmeasured, model.BFloat16, "AMX for bfloat16 (with AMX)"},
		{"AVX-512 alone, unmeasured", avxCPU, both, Unmeasured, model.Float32, "no AMX"},
		{"AMX and one type", amxCPU, tiny(), model.Auto, model.Float32, "the image tower is not there in bfloat16"},
		{"AVX-512 alone and one type", avxCPU, tiny(), model.Auto, model.Float32, "no AMX"},
		{"asked for", amxCPU, both, model.Float32, model.Float32, "asked for"},
	} {
		files, choice := resolved(t, newChooser(test.host), Options{Models: test.models, DType: test.dtype})
		if choice.Type != test.want || files.Image.Manifest.DType != test.want || !strings.Contains(choice.Why, test.why) {
			t.Errorf("%s: got %+v, want %s with %q", test.name, choice, test.want, test.why)
		}
		if choice.Float32 != 0 || choice.BFloat16 != 0 {
			t.Errorf("%s: %v and %v were measured, which takes time for nothing", test.name, choice.Float32, choice.BFloat16)
		}
		if files.RPN.Manifest.DType != model.Float32 || files.Text.Manifest.DType != model.Float32 {
			t.Errorf("%s: the others are %s and %s, and there in float32 alone", test.name, files.RPN.Manifest.DType, files.Text.Manifest.DType)
		}
	}
}

func TestDTypesOfGPUs(t *testing.T) {
	for major, want := range map[int][]string{
		6: {model.Float16}, 7: {model.Float16}, 8: {model.BFloat16, model.Float16}, 9: {model.BFloat16, model.Float16}, 12: {model.BFloat16, model.Float16},
	} {
		if got := gpuDTypes(major); !slices.Equal(got, want) {
			t.Errorf("compute capability %d: got %v, want %v", major, got, want)
		}
	}
}

// timesFile returns the path of the one file of times below a CLIPDET_HOME.
func timesFile(t *testing.T, home string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, "models", "dtype", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of times: %v (%v), want one", files, err)
	}
	return files[0]
}

func TestAutoMeasuresAndKeepsTheTimes(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CLIPDET_HOME", home)
	options := Options{Models: model.Dir(twoTypes(t))}
	c := newChooser(avxCPU)
	files, first := resolved(t, c, options)
	path := timesFile(t, home)
	if first.Float32 <= 0 || first.BFloat16 <= 0 || !strings.Contains(first.Why, "measured") || !strings.Contains(first.Why, "kept in "+path) {
		t.Errorf("got %+v, want two times kept in %s", first, path)
	}
	faster := first.Float32.Seconds() > decisive*first.BFloat16.Seconds()
	if got := files.Image.Manifest.DType; (got == model.BFloat16) != faster || first.Type != got {
		t.Errorf("%+v, and the image tower is in %s", first, got)
	}
	if _, again := resolved(t, c, options); again != first {
		t.Errorf("in the same process %+v, want %+v", again, first)
	}
	if _, again := resolved(t, newChooser(avxCPU), options); again != first {
		t.Errorf("in another process %+v, want %+v", again, first)
	}

	for want, times := range map[string]cropTimes{
		model.BFloat16: {Float32: 1200, BFloat16: 1000},
		model.Float32:  {Float32: 1050, BFloat16: 1000}, // too little to gain
	} {
		data, err := json.Marshal(times)
		if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, got := resolved(t, newChooser(avxCPU), options); got.Type != want || got.Float32 != times.Float32 || got.BFloat16 != times.BFloat16 {
			t.Errorf("with %s kept: %+v, want %s", data, got, want)
		}
	}

	for what, change := range map[string]func(c *chooser, o *Options){
		"another processor":         func(c *chooser, _ *Options) { c.host = amxCPU },
		"another number of threads": func(_ *chooser, o *Options) { o.Threads = 2 },
	} {
		c, o := newChooser(avxCPU), options
		change(c, &o)
		_, got := resolved(t, c, o)
		if strings.Contains(got.Why, path) || !strings.Contains(got.Why, "measured") {
			t.Errorf("%s: %+v, want times of its own", what, got)
		}
	}
}

func TestBrokenTimesAreMeasuredAgain(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CLIPDET_HOME", home)
	options := Options{Models: model.Dir(twoTypes(t))}
	resolved(t, newChooser(avxCPU), options)
	path := timesFile(t, home)
	for what, put := range map[string]func() error{
		"nothing":       func() error { return os.WriteFile(path, nil, 0o600) },
		"half of it":    func() error { return os.WriteFile(path, []byte(`{"float32_ns":1200,"bfloa`), 0o600) },
		"no times":      func() error { return os.WriteFile(path, []byte(`{"float32_ns":1200}`), 0o600) },
		"negative ones": func() error { return os.WriteFile(path, []byte(`{"float32_ns":-1,"bfloat16_ns":-2}`), 0o600) },
		"text":          func() error { return os.WriteFile(path, []byte(`{"float32_ns":"fast","bfloat16_ns":2}`), 0o600) },
		"far too much":  func() error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) },
		"a pipe":        func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := errors.Join(os.Remove(path), put()); err != nil {
			t.Fatal(err)
		}
		_, got := resolved(t, newChooser(avxCPU), options)
		if got.Float32 <= 1200 || got.BFloat16 <= 2 || !strings.Contains(got.Why, "kept in "+path) {
			t.Errorf("%s: got %+v, want real times", what, got)
		}
		if _, again := resolved(t, newChooser(avxCPU), options); again != got {
			t.Errorf("%s: then %+v, want %+v", what, again, got)
		}
	}
}

func TestTimesThatCanNotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file") // not even root can write below a file
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLIPDET_HOME", file)
	options := Options{Models: model.Dir(twoTypes(t))}
	c := newChooser(avxCPU)
	_, first := resolved(t, c, options)
	if first.Float32 <= 0 || !strings.Contains(first.Why, "kept for this process alone: ") {
		t.Errorf("got %+v, want times, and why they are not kept", first)
	}
	if _, again := resolved(t, c, options); again.Float32 != first.Float32 || again.BFloat16 != first.BFloat16 || again.Type != first.Type {
		t.Errorf("in the same process %+v, want %+v", again, first)
	}
}

func TestManyMeasureAtOnce(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CLIPDET_HOME", home)
	both, choosers := model.Dir(twoTypes(t)), []*chooser{newChooser(avxCPU), newChooser(avxCPU)} // as two processes
	choices := make([]DTypeChoice, 6)
	var group sync.WaitGroup
	for i := range choices {
		group.Go(func() { _, choices[i] = resolved(t, choosers[i%2], Options{Models: both}) })
	}
	group.Wait()
	for i, choice := range choices {
		if want := choices[i%2]; choice.Float32 != want.Float32 || choice.BFloat16 != want.BFloat16 || choice.Type != want.Type {
			t.Errorf("call %d: got %+v, another call of its process %+v", i, choice, want)
		}
	}
	if times, found := readTimes(timesFile(t, home)); !found {
		t.Errorf("what is kept is not whole: %+v", times)
	}
}

func TestMeasuringFails(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	dir := twoTypes(t)
	device, options, err := Options{Models: model.Dir(dir), Device: "cpu", Threads: 1}.complete()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := newChooser(avxCPU).resolve(ctx, options, device); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v, want context.Canceled", err)
	}
	path := filepath.Join(dir, "clip-image.bfloat16.pt")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newChooser(avxCPU).resolve(t.Context(), options, device); !errors.Is(err, model.ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged: got %v, want ErrDamaged of %s", err, path)
	}
}

func TestInfoSaysWhatIsTaken(t *testing.T) {
	options := Options{Models: tiny(), Device: "cpu", Threads: 1}
	d := open(t, options)
	before, err := Resolve(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	after := d.Info()
	if before.DType != after.DType || before.Image.Path != after.Image.Path || before.Threads != after.Threads || before.Device != after.Device {
		t.Errorf("Resolve says %+v, and Info %+v", before, after)
	}
	if after.DType.Type != model.Float32 || after.DType.Why == "" || after.Threads != 1 {
		t.Errorf("got %+v with %d threads, want float32, why, and 1", after.DType, after.Threads)
	}
	t.Setenv("OMP_NUM_THREADS", "3")
	options.Threads = 0
	if info, err := Resolve(t.Context(), options); err != nil || info.Threads != 3 {
		t.Errorf("OMP_NUM_THREADS=3: %d threads (%v)", info.Threads, err)
	}
	if _, err := Resolve(t.Context(), Options{Models: tiny(), DType: "int8"}); !errors.Is(err, model.ErrMissing) {
		t.Errorf("int8: got %v, want ErrMissing", err)
	}
}

package detect

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

var vnniCPU = torch.Processor{Name: "with VNNI", Kind: "vnni", VNNI: true}

// eight returns a folder of the test's own with towers in float32 and the image tower in
// int8, or only with those that are named.
func eight(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	if len(names) == 0 {
		names = []string{"clip-image.pt", "clip-text.pt", "clip-image.int8.pt"}
	}
	paths := []string{"tiny/rpn.pt"}
	for _, name := range names {
		paths = append(paths, "eight/"+name)
	}
	for _, path := range paths {
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

func TestInt8IsTakenOnlyWhenAskedFor(t *testing.T) {
	both := model.Dir(eight(t))
	for _, test := range []struct {
		name        string
		host        torch.Processor
		models      model.Set
		dtype       string
		image, text string
		why         string
	}{
		{"auto", vnniCPU, both, model.Auto, model.Float32, model.Float32, "no instructions for bfloat16"},
		{"asked for", vnniCPU, both, model.Int8, model.Int8, model.Float32, "asked for"},
		{"without VNNI", plainCPU, both, model.Int8, model.Int8, model.Float32, "without VNNI (plain) it may be slower"},
	} {
		var log bytes.Buffer
		files, choice := resolved(t, newChooser(test.host), Options{Models: test.models, DType: test.dtype, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if choice.Type != test.image || files.Image.Manifest.DType != test.image || files.Text.Manifest.DType != test.text || !strings.Contains(choice.Why, test.why) {
			t.Errorf("%s: got %+v and texts in %s, want %s with %q and %s", test.name, choice, files.Text.Manifest.DType, test.image, test.why, test.text)
		}
		if files.RPN.Manifest.DType != model.Float32 {
			t.Errorf("%s: proposals in %s, and there is float32 alone", test.name, files.RPN.Manifest.DType)
		}
		warned := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "without VNNI")
		if want := test.image == model.Int8 && !test.host.VNNI; warned != want {
			t.Errorf("%s: a warning is %v, want %v: %s", test.name, warned, want, log.String())
		}
	}
}

func TestInt8AloneIsNotTakenByItself(t *testing.T) {
	_, err := Resolve(t.Context(), Options{Models: model.Dir(eight(t, "clip-image.int8.pt", "clip-text.pt")), Device: "cpu"})
	if !errors.Is(err, model.ErrMissing) || !strings.Contains(err.Error(), "clip-image.int8.pt") {
		t.Errorf("got %v, want ErrMissing, which names the file that is there", err)
	}
	_, err = Resolve(t.Context(), Options{Models: tiny(), Device: "cpu", DType: model.Int8})
	if !errors.Is(err, model.ErrMissing) || !strings.Contains(err.Error(), "clip-image in int8") {
		t.Errorf("int8 of models without it: got %v, want ErrMissing", err)
	}
}

func TestTypesThatDontRunOnADevice(t *testing.T) {
	gpu := torch.CUDA(0)
	for _, test := range []struct {
		device torch.Device
		dtype  string
		runs   bool
	}{
		{torch.CPU, model.Float32, true},
		{torch.CPU, model.Float16, false},
		{torch.CPU, model.Int8, true},
		{gpu, model.Float16, true},
		{gpu, model.Int8, false},
	} {
		if reason := notOn(test.device, test.dtype); (reason == "") != test.runs {
			t.Errorf("%s on %v: got the reason %q", test.dtype, test.device, reason)
		}
	}
}

// openEight opens a detector in int8. Its products are libtorch 2.11's: an older libtorch
// must run them too, or refuse the archive and name both versions. Then it returns nil.
func openEight(t *testing.T, dir string) *Detector {
	t.Helper()
	options := Options{Models: model.Dir(dir), DType: model.Int8, Device: "cpu", Threads: 1}
	d, err := Open(t.Context(), options)
	if err != nil && !strings.HasPrefix(torch.Version(), "2.11.") {
		if !strings.Contains(err.Error(), "torch 2.11.0") || !strings.Contains(err.Error(), torch.Version()) {
			t.Errorf("libtorch %s doesn't load int8: %v; want both versions in the message", torch.Version(), err)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestInt8AnswersNearFloat32(t *testing.T) {
	dir := eight(t)
	img := scene(7, 160, 120)
	var all [2][][]float32
	inInt8 := openEight(t, dir)
	if inInt8 == nil {
		return
	}
	for i, d := range []*Detector{open(t, Options{Models: model.Dir(dir), DType: model.Float32, Device: "cpu"}), inInt8} {
		r, err := d.Regions(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if all[i], err = r.Embeddings(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(all[0]) == 0 || len(all[0]) != len(all[1]) {
		t.Fatalf("%d and %d boxes", len(all[0]), len(all[1]))
	}
	least := 1.0
	for i, a := range all[0] {
		dot := 0.0
		for j := range a {
			dot += float64(a[j]) * float64(all[1][i][j])
		}
		least = min(least, dot)
	}
	if least < 0.998 || least > 0.999999 {
		t.Errorf("the least cosine of an embedding in int8 with float32's is %v, want 0.998 to 0.999999", least)
	}
}

// An embedding is the same to the bit whether its box is alone, among 7 or among 64.
func TestInt8DoesNotDependOnTheBatch(t *testing.T) {
	d := openEight(t, eight(t))
	if d == nil {
		return
	}
	img := scene(8, 160, 120)
	proposals := make([]Proposal, 64)
	for i := range proposals {
		x, y := float32(i%8)*15, float32(i/8)*10
		proposals[i].Box.X0, proposals[i].Box.Y0, proposals[i].Box.X1, proposals[i].Box.Y1 = x, y, x+40, y+30
	}
	embed := func(some []Proposal) [][]float32 {
		r, err := d.Regions(t.Context(), WithProposals{Image: img, Proposals: some})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		rows, err := r.Embeddings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	whole := embed(proposals)
	for _, size := range []int{1, 7} {
		for low := 0; low < len(proposals); low += size {
			high := min(low+size, len(proposals))
			for i, row := range embed(proposals[low:high]) {
				for j, v := range row {
					if v != whole[low+i][j] {
						t.Fatalf("box %d among %d: number %d is %v, and %v among 64", low+i, size, j, v, whole[low+i][j])
					}
				}
			}
		}
	}
}

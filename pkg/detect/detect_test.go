package detect

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

func TestDetectKeepsItsPromises(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog", "cat", "teapot")
	for _, test := range []struct {
		width, height int
		params        Params
	}{
		{200, 150, Params{}},
		{150, 200, Params{TopK: 3}},
		{31, 17, Params{TopK: 1, Rank: RankCosine}},
		{320, 40, Params{NMS: 1, TopK: 5, Rank: RankProbability}},
		{64, 64, Params{Threshold: 0.3}},
		{1, 1, Params{}},
	} {
		name := fmt.Sprintf("%dx%d %+v", test.width, test.height, test.params)
		result, err := d.Detect(t.Context(), scene(1, test.width, test.height), q, test.params)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if result.Width != test.width || result.Height != test.height {
			t.Errorf("%s: the size is %dx%d", name, result.Width, result.Height)
		}
		count := map[string]int{}
		for i, f := range result.Detections {
			count[f.Query]++
			if i > 0 && f.Score > result.Detections[i-1].Score {
				t.Errorf("%s: detection %d is better than the one before", name, i)
			}
			if f.Box != f.Box.Clip(test.width, test.height) || !f.Box.Valid() {
				t.Errorf("%s: the box %v leaves the picture", name, f.Box)
			}
			if test.params.Threshold != 0 && f.Score < test.params.Threshold {
				t.Errorf("%s: score %v is under the threshold", name, f.Score)
			}
			if f.Probability < 0 || f.Probability > 1 || f.Objectness < 0 || f.Objectness > 1 || math.Abs(float64(f.Cosine)) > 1.0001 {
				t.Errorf("%s: a part of the score is out of its range: %+v", name, f)
			}
			if f.RunnerUp == f.Query || f.RunnerUp == "" || !strings.Contains(f.Phrase, f.Query) {
				t.Errorf("%s: phrase %q and runner-up %q don't fit query %q", name, f.Phrase, f.RunnerUp, f.Query)
			}
			want := map[Rank]float64{
				RankCosine: float64(f.Cosine), RankProbability: float64(f.Probability),
				"": math.Sqrt(float64(f.Probability) * float64(f.Objectness)),
			}[test.params.Rank]
			if math.Abs(float64(f.Score)-want) > 1e-6 {
				t.Errorf("%s: score %v, want %v", name, f.Score, want)
			}
			for _, other := range result.Detections[:i] {
				if test.params.NMS == 0 && other.Query == f.Query && other.Box.IoU(f.Box) > DefaultNMS {
					t.Errorf("%s: %v and %v of %q overlap by more than %v", name, other.Box, f.Box, f.Query, DefaultNMS)
				}
			}
		}
		for query, n := range count {
			if test.params.TopK > 0 && n > test.params.TopK {
				t.Errorf("%s: %d boxes of %q", name, n, query)
			}
		}
	}
}

// TestEveryWayGivesTheSame checks that a result is the same, to the bit, for every call,
// batch, number of callers, and set of phrases embedded before. It runs the tiny models,
// and the built-in models on a drawing and a photo.
func TestEveryWayGivesTheSame(t *testing.T) {
	t.Run("tiny", func(t *testing.T) {
		everyWayGivesTheSame(t, Options{}, []int{1, 7, 64, 1000}, 16, scene(3, 160, 120), scene(4, 160, 120), scene(5, 90, 120), scene(6, 160, 120))
	})
	for name, paths := range map[string][2]string{
		"built-in, a drawing": {"scenes/scene-003.jpg", "photos/coffee.jpg"},
		"built-in, a photo":   {"photos/coffee.jpg", "scenes/scene-003.jpg"},
	} {
		t.Run(name, func(t *testing.T) {
			var pictures [2]image.Image
			for i, path := range paths {
				var err error
				if pictures[i], err = pixels.DecodeFile("../../testdata/"+path, pixels.Limits{}); err != nil {
					t.Fatal(err)
				}
			}
			options := Options{Models: builtin.Models(), Proposals: 20, Templates: []string{"a photo of a {}."}}
			everyWayGivesTheSame(t, options, []int{7}, 3, pictures[0], pictures[1])
		})
	}
}

func everyWayGivesTheSame(t *testing.T, base Options, batches []int, callers int, img image.Image, others ...image.Image) {
	params := Params{TopK: 4}
	d := open(t, base)
	q := queries(t, d, "dog", "a rather long name of a cat")
	want, err := d.Detect(t.Context(), img, q, params)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Detections) == 0 {
		t.Fatal("there is nothing to compare")
	}
	same := func(way string, got *Result, err error) {
		t.Helper()
		switch {
		case err != nil:
			t.Errorf("%s: %v", way, err)
		case !reflect.DeepEqual(got.Proposals, want.Proposals):
			t.Errorf("%s has other proposals", way)
		case !reflect.DeepEqual(got.Detections, want.Detections):
			t.Errorf("%s: got %+v, want %+v", way, got.Detections, want.Detections)
		}
	}
	regions, err := d.Regions(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	for i := range 2 {
		got, err := regions.Match(t.Context(), q, params)
		same(fmt.Sprintf("match %d", i), got, err)
	}
	for _, batch := range append(batches, 0) {
		options := base
		if options.Batch = batch; batch == 0 {
			options.TextCache = t.TempDir()
		}
		way := fmt.Sprintf("batch %d, text cache %q", options.Batch, options.TextCache)
		d := open(t, options)
		queries(t, d, "teapot", "dog") // puts dog into the cache
		q := queries(t, d, "dog", "a rather long name of a cat")
		got, err := d.Detect(t.Context(), img, q, params)
		same(way, got, err)
		for got, err := range d.DetectAll(t.Context(), stream(img, nil), q, params) {
			same("DetectAll with "+way, got, err)
		}
	}
	var calls sync.WaitGroup
	for caller := range callers {
		calls.Go(func() {
			got, err := d.Detect(t.Context(), img, q, params)
			same(fmt.Sprintf("caller %d of %d", caller, callers), got, err)
		})
		calls.Go(func() {
			if _, err := d.Detect(t.Context(), others[caller%len(others)], q, params); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// TestProposalsOfTheCaller checks that the caller's boxes are embedded as proposals are.
func TestProposalsOfTheCaller(t *testing.T) {
	d := open(t, Options{})
	q, img := queries(t, d, "dog", "cat"), scene(3, 160, 120)
	want, err := d.Detect(t.Context(), img, q, Params{NMS: 1, Rank: RankCosine})
	if err != nil {
		t.Fatal(err)
	}
	var boxes []box.Box
	for _, p := range want.Proposals {
		boxes = append(boxes, p.Box)
	}
	regions, err := d.Regions(t.Context(), with(img, boxes...))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	got, err := regions.Match(t.Context(), q, Params{NMS: 1, Rank: RankCosine})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Detections {
		want.Detections[i].Objectness = 1
	}
	if !reflect.DeepEqual(got.Detections, want.Detections) {
		t.Errorf("got %v, want %v", got.Detections, want.Detections)
	}
	given := with(img, boxes...)
	pointed, err := d.Detect(t.Context(), &given, q, Params{NMS: 1, Rank: RankCosine})
	if err != nil || !reflect.DeepEqual(pointed.Detections, want.Detections) {
		t.Errorf("by a pointer: got %v (%v), want %v", pointed, err, want.Detections)
	}
	if _, err := d.Regions(t.Context(), (*WithProposals)(nil)); err == nil {
		t.Error("a nil pointer was accepted")
	}
	for _, bad := range []box.Box{{X0: 5, X1: 4, Y1: 3}, {X1: float32(math.NaN()), Y1: 3}} {
		if _, err := d.Regions(t.Context(), with(img, boxes[0], bad)); !errors.Is(err, ErrOption) {
			t.Errorf("box %v: got %v, want ErrOption", bad, err)
		}
	}
	none, err := d.Regions(t.Context(), with(img))
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if got, err := none.Match(t.Context(), q, Params{}); err != nil || len(got.Detections) != 0 {
		t.Errorf("without boxes: %v, %v; want nothing", got, err)
	}
}

// TestPicturesThatGoTogether checks that a picture's result doesn't depend, to the bit,
// on the pictures that are processed with it.
func TestPicturesThatGoTogether(t *testing.T) {
	d := open(t, Options{ImageBatch: 3})
	q := queries(t, d, "dog", "cat")
	broken := errors.New("broken file")
	images := []image.Image{scene(1, 80, 60), scene(2, 80, 60), nil, scene(3, 60, 80), scene(4, 80, 60), scene(5, 80, 60), scene(6, 60, 80)}
	i := 0
	for got, err := range d.DetectAll(t.Context(), stream(images[0], broken, images[1:]...), q, Params{TopK: 1}) {
		if images[i] == nil {
			if !errors.Is(err, broken) {
				t.Errorf("picture %d: got %v, want the stream's error", i, err)
			}
			i++
			continue
		}
		want, wrong := d.Detect(t.Context(), images[i], q, Params{TopK: 1})
		if err != nil || wrong != nil {
			t.Fatalf("picture %d: %v in its group, %v alone", i, err, wrong)
		}
		if got.Width != want.Width || !reflect.DeepEqual(got.Proposals, want.Proposals) || !reflect.DeepEqual(got.Detections, want.Detections) {
			t.Errorf("picture %d: got %+v, alone %+v", i, got, want)
		}
		i++
	}
	if i != len(images) {
		t.Errorf("%d results of %d pictures", i, len(images))
	}
}

func TestQueryErrors(t *testing.T) {
	d := open(t, Options{Limits: Limits{Queries: 2}})
	long := strings.Repeat("word ", 100)
	for _, test := range []struct {
		name    string
		queries []Query
		want    error
	}{
		{"none", nil, ErrQuery},
		{"two of a name", []Query{{Name: "a"}, {Name: "a", Phrases: []string{"b"}}}, ErrQuery},
		{"too many", []Query{{Name: "a"}, {Name: "b"}, {Name: "c"}}, ErrLimit},
		{"too many phrases", []Query{{Name: "a", Phrases: make([]string, 1001)}}, ErrLimit},
		{"too long", []Query{{Name: "a", Phrases: []string{long}}}, prompt.ErrTooLong},
	} {
		q, err := d.Queries(t.Context(), test.queries...)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if q != nil {
			t.Errorf("%s: there are queries beside the error", test.name)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		options Options
		want    error
	}{
		{"no models", Options{}, model.ErrMissing},
		{"no folder", Options{Models: model.Dir("none")}, model.ErrMissing},
		{"a device that isn't there", Options{Models: tiny(), Device: "cuda:999"}, ErrDevice},
		{"a device that is none", Options{Models: tiny(), Device: "tpu"}, ErrDevice},
		{"a dtype that isn't there", Options{Models: tiny(), DType: "float16"}, model.ErrMissing},
		{"a dtype that is none", Options{Models: tiny(), DType: "float99"}, ErrOption},
		{"negative proposals", Options{Models: tiny(), Proposals: -1}, ErrOption},
		{"negative batch", Options{Models: tiny(), Batch: -1}, ErrOption},
		{"more threads than a machine has", Options{Models: tiny(), Threads: 1025}, ErrOption},
		{"more pictures than there is memory", Options{Models: tiny(), ImageBatch: math.MaxInt}, ErrOption},
		{"an unknown crop", Options{Models: tiny(), Crops: []Crop{{}, {Mode: "x"}}}, ErrOption},
	} {
		d, err := Open(t.Context(), test.options)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if d != nil {
			d.Close()
			t.Errorf("%s: there is a detector beside the error", test.name)
		}
	}
}

// TestTheFirstWrongOptionIsReported checks that always the same one of several wrong
// options is reported.
func TestTheFirstWrongOptionIsReported(t *testing.T) {
	for range 50 {
		_, err := Open(t.Context(), Options{Models: tiny(), Proposals: -1, Batch: -1, ImageBatch: -1, Threads: -1})
		if !errors.Is(err, ErrOption) || !strings.Contains(err.Error(), "Proposals is -1") {
			t.Fatalf("got %v, want ErrOption about Proposals", err)
		}
		d := open(t, Options{})
		_, err = d.Detect(t.Context(), scene(1, 40, 30), queries(t, d, "dog"), Params{Thresholds: map[string]float32{"a": 1, "b": 1, "c": 1}})
		if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), `"a"`) {
			t.Fatalf("got %v, want ErrQuery about a", err)
		}
		d.Close()
	}
}

// TestOpenRefusesFloat16OnACPU checks that a CPU refuses a set in float16 in Open, and
// not at the first call.
func TestOpenRefusesFloat16OnACPU(t *testing.T) {
	dir := t.TempDir()
	files := torchtest.Tiny(t)
	for _, file := range []archive.File{files.RPN, files.Image, files.Text} {
		rewrite(t, file.Path, filepath.Join(dir, filepath.Base(file.Path)), func(manifest map[string]any) { manifest["dtype"] = "float16" })
	}
	for _, dtype := range []string{"", "auto", "float16"} {
		d, err := Open(t.Context(), Options{Models: model.Dir(dir), Device: "cpu", DType: dtype})
		if !errors.Is(err, ErrNotHere) {
			t.Errorf("--dtype %q: got %v, want ErrNotHere", dtype, err)
		}
		if d != nil {
			d.Close()
		}
	}
}

// rewrite copies an archive with a changed manifest, and the digest that
// torchscript/CONTRACT.md defines.
func rewrite(t *testing.T, from, to string, change func(map[string]any)) {
	t.Helper()
	in, err := zip.OpenReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var data bytes.Buffer
	out := zip.NewWriter(&data)
	slices.SortFunc(in.File, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	digest := sha256.New()
	for _, entry := range in.File {
		_, name, _ := strings.Cut(entry.Name, "/")
		if name != "extra/manifest.json" && name != ".data/serialization_id" {
			fmt.Fprintf(digest, "%s %d %08x\n", name, entry.UncompressedSize64, entry.CRC32)
		}
	}
	for _, entry := range in.File {
		if filepath.Base(entry.Name) != "manifest.json" {
			if err := out.Copy(entry); err != nil {
				t.Fatal(err)
			}
			continue
		}
		text, err := fs.ReadFile(in, entry.Name)
		if err != nil {
			t.Fatal(err)
		}
		var manifest map[string]any
		if err := json.Unmarshal(text, &manifest); err != nil {
			t.Fatal(err)
		}
		change(manifest)
		zeros := strings.Repeat("0", 64)
		manifest["digest"] = zeros
		if text, err = json.Marshal(manifest); err != nil {
			t.Fatal(err)
		}
		digest.Write(text)
		text = bytes.ReplaceAll(text, []byte(zeros), fmt.Appendf(nil, "%x", digest.Sum(nil)))
		w, err := out.CreateHeader(&zip.FileHeader{Name: entry.Name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), os.WriteFile(to, data.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestSlicesOfOptionsAreTheCallers changes the slices of Options after Open.
func TestSlicesOfOptionsAreTheCallers(t *testing.T) {
	img := scene(3, 90, 60)
	crops, templates, background := []Crop{{Mode: CropPad}}, []string{"a photo of a {}"}, []string{"a wall"}
	d := open(t, Options{Crops: crops, Templates: templates, Background: background})
	want, err := d.Detect(t.Context(), img, queries(t, d, "dog", "cat"), Params{})
	if err != nil {
		t.Fatal(err)
	}
	crops[0], templates[0], background[0] = Crop{Mode: "none"}, "no template", "a floor"
	got, err := d.Detect(t.Context(), img, queries(t, d, "dog", "cat"), Params{})
	if err != nil || !reflect.DeepEqual(got.Detections, want.Detections) {
		t.Errorf("other detections than before (%v)", err)
	}
}

func TestParamErrors(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	other := queries(t, open(t, Options{}), "dog")
	img := scene(1, 40, 40)
	for _, test := range []struct {
		name    string
		queries *Queries
		params  Params
		want    error
	}{
		{"negative top-k", q, Params{TopK: -1}, ErrOption},
		{"negative NMS", q, Params{NMS: -0.5}, ErrOption},
		{"NMS is no number", q, Params{NMS: math.NaN()}, ErrOption},
		{"threshold is no number", q, Params{Threshold: float32(math.NaN())}, ErrOption},
		{"unknown rank", q, Params{Rank: "x"}, ErrOption},
		{"negative limit", q, Params{MaxDetections: -1}, ErrOption},
		{"more detections than the limit", q, Params{NMS: 1, MaxDetections: 1}, ErrLimit},
		{"no queries", nil, Params{}, ErrQuery},
		{"another detector's queries", other, Params{}, ErrQuery},
	} {
		if _, err := d.Detect(t.Context(), img, test.queries, test.params); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	for name, bad := range map[string]image.Image{"nil": nil, "empty": image.NewRGBA(image.Rect(0, 0, 0, 5))} {
		if _, err := d.Detect(t.Context(), bad, q, Params{}); err == nil {
			t.Errorf("a picture that is %s was accepted", name)
		}
	}
}

func TestUseAfterClose(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	img := scene(1, 40, 40)
	regions, err := d.Regions(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	closed := queries(t, d, "cat")
	closed.Close()
	if _, err := d.Detect(t.Context(), img, closed, Params{}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed queries: got %v, want ErrClosed", err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := d.Detect(t.Context(), img, q, Params{}); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the detector") {
		t.Errorf("Detect: got %v, want ErrClosed of the detector", err)
	}
	if _, err := regions.Match(t.Context(), q, Params{}); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the detector") {
		t.Errorf("Match: got %v, want ErrClosed of the detector", err)
	}
	if _, err := d.Queries(t.Context(), Query{Name: "x"}); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the detector") {
		t.Errorf("Queries: got %v, want ErrClosed of the detector", err)
	}
	regions.Close()
	q.Close()
}

func TestNoErrorIsLostAmongGoroutines(t *testing.T) {
	d := open(t, Options{Proposals: 20})
	q := queries(t, d, "dog", "cat")
	other := queries(t, open(t, Options{}), "dog")
	img := scene(5, 80, 60)
	want, err := d.Detect(t.Context(), img, q, Params{TopK: 2})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	calls := []struct {
		name string
		call func() (*Result, error)
		want error
	}{
		{"good", func() (*Result, error) { return d.Detect(t.Context(), img, q, Params{TopK: 2}) }, nil},
		{"cancelled", func() (*Result, error) { return d.Detect(ended, img, q, Params{}) }, context.Canceled},
		{"foreign queries", func() (*Result, error) { return d.Detect(t.Context(), img, other, Params{}) }, ErrQuery},
		{"bad parameter", func() (*Result, error) { return d.Detect(t.Context(), img, q, Params{TopK: -1}) }, ErrOption},
		{"too long a query", func() (*Result, error) {
			_, err := d.Queries(t.Context(), Query{Name: "x", Phrases: []string{strings.Repeat("y ", 100)}})
			return nil, err
		}, prompt.ErrTooLong},
	}
	var callers sync.WaitGroup
	for g := range 16 {
		callers.Go(func() {
			for i := range 10 {
				c := calls[(g+i)%len(calls)]
				got, err := c.call()
				if !errors.Is(err, c.want) {
					t.Errorf("goroutine %d, %s: got %v, want %v", g, c.name, err, c.want)
				}
				if c.want == nil && err == nil && !reflect.DeepEqual(got.Detections, want.Detections) {
					t.Errorf("goroutine %d, %s: the detections differ from those of a lone call", g, c.name)
				}
			}
		})
	}
	callers.Wait()
}

func TestCancelWhileDetecting(t *testing.T) {
	d := open(t, Options{Batch: 1})
	q := queries(t, d, "dog")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
	defer cancel()
	for {
		if _, err := d.Detect(ctx, scene(1, 300, 200), q, Params{}); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want DeadlineExceeded", err)
			}
			return
		}
	}
}

// TestDetectionsDontGrowTheProcess checks that 1,000 detections after a warm-up grow the
// process by less than 50 MB.
func TestDetectionsDontGrowTheProcess(t *testing.T) {
	d := open(t, Options{Proposals: 10})
	img := scene(2, 64, 48)
	detect := func(n int) {
		for range n {
			q, err := d.Queries(t.Context(), Query{Name: "dog", Phrases: []string{"a dog"}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Detect(t.Context(), img, q, Params{}); err != nil {
				t.Fatal(err)
			}
			q.Close()
		}
	}
	detect(100)
	before := torchtest.Resident(t)
	detect(1000)
	grown := (torchtest.Resident(t) - before) >> 20
	t.Logf("grew by %d MB", grown)
	if grown >= 50 {
		t.Errorf("1,000 detections grew the process by %d MB", grown)
	}
}

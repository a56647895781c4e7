package report_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/report"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
)

func decode(path string) (image.Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return jpeg.Decode(file)
}

// run is a real evaluation from testdata.
type run struct {
	dataset   *eval.Dataset
	found     []report.Detection // by result
	proposals map[int64][]report.Proposal
	page      report.Page
}

func readRun(t *testing.T) *run {
	t.Helper()
	dataset, err := eval.ReadDatasetFile("../../../../testdata/scenes/instances.json", eval.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("testdata/scenes.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var images []struct {
		ImageID    int64             `json:"image_id"`
		Proposals  []report.Proposal `json:"proposals"`
		Detections []struct {
			report.Detection
			RunnerUp string `json:"runner_up"`
		} `json:"detections"`
		Timings map[string]float64 `json:"timings_ms"`
	}
	if err := json.NewDecoder(unpacked).Decode(&images); err != nil {
		t.Fatal(err)
	}
	r := &run{dataset: dataset, proposals: map[int64][]report.Proposal{}}
	ids := map[string]int64{}
	for _, c := range dataset.Categories {
		ids[c.Name] = c.ID
	}
	var results, proposals []eval.Result
	stages := map[string]float64{}
	for _, i := range images {
		for _, d := range i.Detections {
			d.Detection.RunnerUp = d.RunnerUp
			r.found = append(r.found, d.Detection)
			results = append(results, eval.Result{ImageID: i.ImageID, CategoryID: ids[d.Query], BBox: eval.FromBox(d.Box), Score: float64(d.Score)})
		}
		for _, p := range i.Proposals {
			proposals = append(proposals, eval.Result{ImageID: i.ImageID, BBox: eval.FromBox(p.Box), Score: float64(p.Objectness)})
		}
		r.proposals[i.ImageID] = i.Proposals
		for name, ms := range i.Timings {
			stages[name] += ms / float64(len(images))
		}
	}
	r.page = report.Page{
		Title: "Scenes of <pictograms> & more", Images: len(dataset.Images), Threshold: 0.3,
		Facts: []report.Fact{{"models", "built-in: clip-image, clip-text, rpn"}, {"queries", "80, of 7 templates"}, {"versions", "libtorch 2.1.0, gotch v0.9.1"}},
		Flags: []report.Fact{{"device", "cpu"}, {"proposals", "300"}, {"templates", "a photo of a {}."}},
	}
	for _, name := range []string{"upload", "rpn", "crop", "encode", "rank", "download"} {
		r.page.Stages = append(r.page.Stages, report.Stage{Name: name, MS: stages[name]})
	}
	if r.page.Evaluation, err = eval.Evaluate(dataset, results); err != nil {
		t.Fatal(err)
	}
	if r.page.Analysis, err = analysis.Analyse(dataset, results, proposals); err != nil {
		t.Fatal(err)
	}
	if r.page.Proposals, err = eval.EvaluateProposals(dataset, proposals); err != nil {
		t.Fatal(err)
	}
	r.page.Accuracy = r.accuracy(t)
	return r
}

// accuracy classifies each annotation by the best detection that overlaps it most.
func (r *run) accuracy(t *testing.T) *report.Accuracy {
	t.Helper()
	classes, index := len(r.dataset.Categories), map[string]int{}
	to := &report.Accuracy{}
	for k, c := range r.dataset.Categories {
		index[c.Name] = k
		to.Categories = append(to.Categories, c.ID)
	}
	var truth []int
	scores := make([]float32, len(r.dataset.Annotations)*classes)
	for _, a := range r.dataset.Annotations {
		truth = append(truth, slices.Index(to.Categories, a.CategoryID))
	}
	for _, i := range r.page.Analysis.Images {
		for _, v := range i.Detections {
			if d := r.found[v.Result]; v.Annotation >= 0 && v.IoU >= 0.5 {
				score := &scores[v.Annotation*classes+index[d.Query]]
				*score = max(*score, d.Probability)
			}
		}
	}
	var err error
	best := make([][]int, len(truth)) // classes in the order of scores
	for n := range best {
		row := scores[n*classes:][:classes]
		for c := range row {
			best[n] = append(best[n], c)
		}
		slices.SortStableFunc(best[n], func(a, b int) int { return cmp.Compare(row[b], row[a]) })
	}
	if to.Accuracy, err = analysis.BoxAccuracy(best, classes, truth); err != nil {
		t.Fatal(err)
	}
	return to
}

func (r *run) entries() iter.Seq2[report.Entry, error] {
	return func(yield func(report.Entry, error) bool) {
		judged, err := report.NewEntries(r.dataset, r.page.Analysis)
		if err != nil {
			yield(report.Entry{}, err)
			return
		}
		for _, i := range report.WorstFirst(r.page.Analysis) {
			entry, err := judged.Entry(i, func(result int) report.Detection { return r.found[result] })
			if err == nil {
				entry.Proposals = r.proposals[r.dataset.Images[i].ID]
				entry.Picture, err = decode("../../../../testdata/scenes/" + entry.File)
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// embedded is the data of a page.
type embedded struct {
	Entries []embeddedEntry
	Data    struct {
		Names     []string
		Threshold float64
		Low, High float64
		Images    int
		Entries   int
		Mean      struct{ At50, Mean []int }
		Curves    []struct{ At50, Mean []int }
	}
}

type embeddedEntry struct {
	File        string
	Picture     string
	Width       int
	Height      int
	Proposals   [][5]float64
	Of          int
	Detections  [][14]float64
	Annotations [][7]float64
}

func readPage(t *testing.T, dir string) (page string, e embedded) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	page = string(text)
	_, after, ok := strings.Cut(page, `id="entries">`)
	lines, after, ok2 := strings.Cut(after, "</script>")
	_, after, ok3 := strings.Cut(after, `id="data">`)
	data, _, ok4 := strings.Cut(after, "</script>")
	if !ok || !ok2 || !ok3 || !ok4 {
		t.Fatal("the page lacks a script of entries or data")
	}
	for n, line := range strings.Split(strings.Trim(lines, "\n"), "\n") {
		var entry embeddedEntry
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("entry %d: %v", n, err)
		}
		e.Entries = append(e.Entries, entry)
	}
	if err := json.Unmarshal([]byte(data), &e.Data); err != nil {
		t.Fatal(err)
	}
	return page, e
}

// hostile is a name that must neither end the script that contains it nor become markup.
const hostile = "</script><script>alert(1)</script><!-- \"'&\n\u2028 \xff\xfe"

func one(e report.Entry) iter.Seq2[report.Entry, error] {
	return func(yield func(report.Entry, error) bool) { yield(e, nil) }
}

func smallPage() report.Page {
	return report.Page{Title: hostile, Images: 3, Evaluation: &eval.Evaluation{Categories: []eval.CategoryMetrics{{ID: 1, Name: hostile}}}}
}

func smallEntry() report.Entry {
	return report.Entry{
		File: hostile, Width: 100, Height: 50, Picture: image.NewGray(image.Rect(0, 0, 100, 50)),
		Proposals: []report.Proposal{{box.Box{X0: -5, Y0: 1.26, X1: 200, Y1: 9}, 0.123456}},
		Detections: []report.Detection{{
			Query: hostile, Box: box.Box{X0: 1, Y0: 2, X1: 3, Y1: 4}, Score: 0.5, Cosine: -0.25, Probability: 0.75, Objectness: 1,
			Phrase: "a", RunnerUp: "b", Kind: analysis.Duplicate, Annotation: 0, IoU: 0.6,
		}},
		Annotations: []report.Annotation{{Category: "b", Box: box.Box{X0: 1, Y0: 2, X1: 3, Y1: 5}, Kind: analysis.Missed, Cause: analysis.ByRank}},
	}
}

func TestEmbeddedDataComeBack(t *testing.T) {
	dir := t.TempDir()
	page := smallPage()
	page.Threshold = 0.25
	if err := report.Write(t.Context(), dir, page, one(smallEntry()), report.Options{}); err != nil {
		t.Fatal(err)
	}
	_, e := readPage(t, dir)
	clean := strings.ToValidUTF8(hostile, "\ufffd")
	wantNames := []string{clean, "a", "b", "duplicate", "missed", "rank"}
	if !slices.Equal(e.Data.Names, wantNames) {
		t.Errorf("names are %q, want %q", e.Data.Names, wantNames)
	}
	want := embeddedEntry{
		File: clean, Picture: "images/00001.jpg", Width: 100, Height: 50,
		Proposals: [][5]float64{{0, 1.3, 100, 9, 0.1235}}, Of: 1, // clipped and rounded
		Detections:  [][14]float64{{0, 1, 2, 3, 4, 0.5, -0.25, 0.75, 1, 1, 2, 3, 0, 0.6}},
		Annotations: [][7]float64{{2, 1, 2, 3, 5, 4, 5}},
	}
	if len(e.Entries) != 1 || !reflect.DeepEqual(e.Entries[0], want) {
		t.Errorf("entries are %+v, want %+v", e.Entries, want)
	}
	if d := e.Data; d.Threshold != 0.25 || d.Images != 3 || d.Entries != 1 || d.Low != 0 || d.High != 1 {
		t.Errorf("data are %+v, want threshold 0.25, 3 images, 1 entry and scores from 0 to 1", d)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	dir := t.TempDir()
	page := smallPage()
	page.Facts = []report.Fact{{hostile, hostile}}
	page.Flags = page.Facts
	page.Stages = []report.Stage{{hostile, 1}}
	page.Analysis = &analysis.Analysis{Confusions: []analysis.Confusion{{Predicted: 1, True: 1, Count: 2}}, Errors: []analysis.ErrorKind{{Kind: analysis.Both}}}
	if err := report.Write(t.Context(), dir, page, one(smallEntry()), report.Options{}); err != nil {
		t.Fatal(err)
	}
	text, _ := readPage(t, dir)
	if n := strings.Count(text, "<script"); n != 3 {
		t.Errorf("the page has %d scripts, want those of entries, data and the page's own", n)
	}
	if strings.Contains(text, "alert(1)</script>") || strings.Contains(text, "<!-- ") {
		t.Error("a name is in the page as markup")
	}
	if n := strings.Count(text, "&lt;script&gt;alert(1)"); n < 8 {
		t.Errorf("a name is shown %d times, want it in title, facts, flags, stages, confusions and categories", n)
	}
}

func TestRealRun(t *testing.T) {
	r, dir := readRun(t), t.TempDir()
	if err := report.Write(t.Context(), dir, r.page, r.entries(), report.Options{Pictures: 10, Side: 320}); err != nil {
		t.Fatal(err)
	}
	text, e := readPage(t, dir)
	if len(e.Entries) != 10 || e.Data.Entries != 10 || e.Data.Images != 24 {
		t.Fatalf("%d entries, said to be %d of %d; want 10 of 24", len(e.Entries), e.Data.Entries, e.Data.Images)
	}
	pictures, err := filepath.Glob(filepath.Join(dir, "images", "*"))
	if err != nil || len(pictures) != 10 {
		t.Errorf("%d pictures (%v), want 10", len(pictures), err)
	}
	img, err := decode(filepath.Join(dir, e.Entries[0].Picture))
	if err != nil || img.Bounds().Size() != image.Pt(320, 240) {
		t.Errorf("the first picture is of %v (%v), want 320 x 240", img.Bounds().Size(), err)
	}
	s := r.page.Evaluation.Summary
	for _, number := range []float64{s.AP, s.AP50, s.ARl, r.page.Accuracy.Top5, r.page.Proposals[0].AR, r.page.Analysis.Errors[0].DAP} {
		if want := fmt.Sprintf("%.3f", number); !strings.Contains(text, want) {
			t.Errorf("the page lacks the number %s", want)
		}
	}
	if len(e.Data.Curves) != 80 || len(e.Data.Mean.At50) != 101 {
		t.Errorf("%d curves and %d points of the mean one, want 80 and 101", len(e.Data.Curves), len(e.Data.Mean.At50))
	}
	for i, p := range r.page.Evaluation.Curve.Precision {
		if got := float64(e.Data.Mean.Mean[i]) / 1000; math.Abs(got-p) > 0.0005001 {
			t.Errorf("precision %d of the mean curve is %v, want %v to 0.0005", i, got, p)
		}
	}
	for n, entry := range e.Entries {
		if len(entry.Proposals) > report.DrawnProposals || entry.Of != 120 {
			t.Errorf("entry %d has %d proposals of %d, want at most %d of 120", n, len(entry.Proposals), entry.Of, report.DrawnProposals)
		}
		for _, d := range entry.Detections {
			if int(d[12]) >= len(entry.Annotations) || d[11] < 0 || int(d[11]) >= len(e.Data.Names) {
				t.Fatalf("entry %d: detection %v is about no annotation, or of no kind", n, d)
			}
		}
	}
}

func TestWorstFirst(t *testing.T) {
	image := func(missed bool, kinds ...analysis.Kind) analysis.ImageVerdicts {
		v := analysis.ImageVerdicts{Annotations: []analysis.AnnotationVerdict{{Kind: analysis.Correct}}}
		if missed {
			v.Annotations[0].Kind = analysis.Missed
		}
		for _, k := range kinds {
			v.Detections = append(v.Detections, analysis.DetectionVerdict{Kind: k})
		}
		return v
	}
	a := &analysis.Analysis{Images: []analysis.ImageVerdicts{
		image(false, analysis.Correct), image(false, analysis.Correct, analysis.Background), image(true),
		image(false, analysis.Background, analysis.Correct), image(false, analysis.Ignored, analysis.Correct),
	}}
	if got, want := report.WorstFirst(a), []int{2, 3, 1, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
}

// TestFailures verifies that a failure leaves no temporary file and no half page.
func TestFailures(t *testing.T) {
	failed := errors.New("no such picture")
	nan := float32(math.NaN())
	change := func(f func(*report.Entry)) iter.Seq2[report.Entry, error] {
		e := smallEntry()
		f(&e)
		return one(e)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		page    report.Page
		entries iter.Seq2[report.Entry, error]
		want    error
		names   string
	}{
		"no evaluation": {page: report.Page{}, want: report.ErrContent, names: "evaluation"},
		"stage":         {page: report.Page{Evaluation: &eval.Evaluation{}, Stages: []report.Stage{{"crop", -1}}}, want: report.ErrContent, names: "crop"},
		"accuracy": {
			page: report.Page{Evaluation: &eval.Evaluation{}, Accuracy: &report.Accuracy{Accuracy: &analysis.Accuracy{}, Categories: []int64{1}}},
			want: report.ErrContent, names: "class",
		},
		"entries": {
			entries: func(yield func(report.Entry, error) bool) {
				_ = yield(smallEntry(), nil) && yield(report.Entry{}, failed)
			},
			want: failed, names: "no such picture",
		},
		"cancelled":     {ctx: cancelled, entries: one(smallEntry()), want: context.Canceled, names: "canceled"},
		"size":          {entries: change(func(e *report.Entry) { e.File, e.Width = "a.jpg", 0 }), want: report.ErrContent, names: "a.jpg"},
		"score":         {entries: change(func(e *report.Entry) { e.Detections[0].Score = nan }), want: report.ErrContent, names: "detection 0"},
		"detection":     {entries: change(func(e *report.Entry) { e.Detections[0].Box.X0 = nan }), want: report.ErrContent, names: "detection 0"},
		"annotation":    {entries: change(func(e *report.Entry) { e.Detections[0].Annotation = 1 }), want: report.ErrContent, names: "detection 0"},
		"proposal":      {entries: change(func(e *report.Entry) { e.Proposals[0].Objectness = nan }), want: report.ErrContent, names: "proposal 0"},
		"truth":         {entries: change(func(e *report.Entry) { e.Annotations[0].Box.Y1 = nan }), want: report.ErrContent, names: "annotation 0"},
		"empty picture": {entries: change(func(e *report.Entry) { e.Picture = image.NewGray(image.Rectangle{}) }), want: report.ErrContent, names: "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "report")
			page := c.page
			if c.entries != nil {
				page = smallPage()
			}
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			err := report.Write(c.ctx, dir, page, c.entries, report.Options{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.names) {
				t.Errorf("the error is %v, want %v that names %q", err, c.want, c.names)
			}
			if left, err := os.ReadDir(dir); len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is left (%v)", left, err)
			}
		})
	}
}

func TestEarlierReportIsReplacedAndOtherFilesAreKept(t *testing.T) {
	write := func(dir string, entries iter.Seq2[report.Entry, error]) error {
		return report.Write(t.Context(), dir, smallPage(), entries, report.Options{})
	}
	dir := t.TempDir()
	two := func(yield func(report.Entry, error) bool) {
		if yield(smallEntry(), nil) {
			yield(smallEntry(), nil)
		}
	}
	if err := write(dir, two); err != nil {
		t.Fatal(err)
	}
	before, _ := readPage(t, dir)
	failed := errors.New("failed")
	if err := write(dir, func(yield func(report.Entry, error) bool) { yield(report.Entry{}, failed) }); !errors.Is(err, failed) {
		t.Fatalf("the error is %v, want %v", err, failed)
	}
	if after, _ := readPage(t, dir); after != before {
		t.Error("a report that failed changed the earlier one")
	}
	if err := write(dir, one(smallEntry())); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"*", ".*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			files = append(files, strings.TrimPrefix(f, dir+"/"))
		}
	}
	if want := []string{"images", "index.html", "images/00001.jpg"}; !slices.Equal(files, want) {
		t.Errorf("the folder has %v, want %v: no picture of the earlier report, nothing temporary", files, want)
	}
	for name, content := range map[string]string{"index.html": "<html>mine</html>", "images/00001.jpg": "mine"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
		if err := write(dir, one(smallEntry())); !errors.Is(err, report.ErrOccupied) || !strings.Contains(err.Error(), dir) {
			t.Errorf("the error for a folder with %s is %v, want %v that names it", name, err, report.ErrOccupied)
		}
		if kept, err := os.ReadFile(path); string(kept) != content {
			t.Errorf("%s is now %q (%v)", name, kept, err)
		}
	}
}

func TestPicturesKeepTheirShapeAndColours(t *testing.T) {
	dir := t.TempDir()
	e := smallEntry()
	// Its corner isn't at 0, and scaling takes its height below 1.
	wide := image.NewNRGBA(image.Rect(10, 20, 2010, 24))
	for i := range wide.Pix {
		wide.Pix[i] = []uint8{200, 40, 90, 255}[i%4]
	}
	e.Picture = wide
	if err := report.Write(t.Context(), dir, smallPage(), one(e), report.Options{Side: 100}); err != nil {
		t.Fatal(err)
	}
	img, err := decode(filepath.Join(dir, "images", "00001.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	if size := img.Bounds().Size(); size != image.Pt(100, 1) {
		t.Errorf("the picture is of %v, want 100 x 1", size)
	}
	got := color.NRGBAModel.Convert(img.At(50, 0)).(color.NRGBA)
	for _, d := range []int{int(got.R) - 200, int(got.G) - 40, int(got.B) - 90} {
		if max(d, -d) > 4 { // JPEG may change so much
			t.Errorf("a pixel is %v, want 200, 40, 90 to within 4", got)
			break
		}
	}
}

func TestNoGallery(t *testing.T) {
	dir := t.TempDir()
	if err := report.Write(t.Context(), dir, smallPage(), one(smallEntry()), report.Options{Pictures: -1}); err != nil {
		t.Fatal(err)
	}
	if text, e := readPage(t, dir); len(e.Entries) != 0 || strings.Contains(text, `id="gallery"`) {
		t.Error("the page has a gallery, want none")
	}
}

func TestEntriesOfAnotherDataset(t *testing.T) {
	r := readRun(t)
	if _, err := report.NewEntries(&eval.Dataset{}, r.page.Analysis); !errors.Is(err, report.ErrContent) {
		t.Errorf("the error is %v, want %v", err, report.ErrContent)
	}
	short := *r.dataset
	short.Annotations = nil
	entries, err := report.NewEntries(&short, r.page.Analysis)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entries.Entry(0, func(i int) report.Detection { return r.found[i] }); !errors.Is(err, report.ErrContent) {
		t.Errorf("the error is %v, want %v", err, report.ErrContent)
	}
}

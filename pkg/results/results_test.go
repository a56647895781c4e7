package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
)

// three returns a picture with two detections, one that failed, and one without
// detections.
func three() []Record {
	found := &detect.Result{
		Width: 640, Height: 480, Proposals: make([]detect.Proposal, 300),
		Detections: []detect.Detection{
			{Query: "dog", Box: box.Box{X0: 1, Y0: 2.5, X1: 11, Y1: 22.5}, Score: 0.75, Cosine: 0.25, Probability: 0.5, Objectness: 0.125, Phrase: "a <dog> & \"cat\", or so", RunnerUp: "bike"},
			{Query: "bike", Box: box.Box{X0: 0, Y0: 0, X1: 640, Y1: 480}, Score: 0.5, Cosine: -0.5, Probability: 1, Objectness: 1, Phrase: "a bike"},
		},
		Timings: detect.Timings{detect.StageRPN: 1500 * time.Microsecond},
	}
	return []Record{
		Of("a & b.png", 139, found, nil),
		Of("broken.png", 7, nil, errors.New("it is <broken>")),
		Of("none.png", 9, &detect.Result{Width: 2, Height: 1}, nil),
	}
}

// hard returns records with texts and numbers that are easily lost.
func hard() []Record {
	var records []Record
	for i, name := range []string{
		"line\nbreak.png", "carriage\rreturn.png", "both\r\n\r\r\n.png", "\r", "quote\".png", `back\slash.png`, "comma, semi; tab\t.png",
		" space .png", "<&>'.png", "=1+1.png", "\u2028 \u00e9 \u00df \U0001f415.png", "\ufeff.png", `\.`, "", "[1]{2}.png", "nul\x00.png", `,"detections":[`,
	} {
		step := float32(i) / 7
		records = append(records, Record{
			Image: name, ID: int64(i) + 1000, Width: 1234, Height: 777, Proposals: i,
			Detections: []detect.Detection{
				{Query: "dog", Box: box.Box{X0: 0.1, Y0: 1e-7, X1: 639.99994, Y1: 480 + step}, Score: 1.0 / 3, Cosine: -step / 9, Probability: math.SmallestNonzeroFloat32, Objectness: 0.99999994, Phrase: name, RunnerUp: name},
				{Query: "bike", Box: box.Box{X0: step, Y0: step, X1: 1234, Y1: 777}, Score: step / 8, Cosine: 0.1, Probability: 16777217, Objectness: math.MaxFloat32},
			},
			Timings:  detect.Timings{detect.StageUpload: time.Microsecond, detect.StageRPN: time.Duration(i) * 1234567 * time.Microsecond, detect.StageCrop: 3 * time.Hour, detect.StageEncode: 7 * time.Millisecond, detect.StageRank: 999 * time.Microsecond},
			Presence: []detect.Presence{{Query: name, Present: true, Score: step, Threshold: 0.1}, {Query: "bike", Score: 1.0 / 3}},
		})
	}
	return append(records, Record{Image: "x\n\"y\".png", ID: 2000, Error: "line\r\nand \"quote\" \\ \x1b"}, Record{Image: "none.png", ID: 2001, Width: 1, Height: 1})
}

const (
	goldenFound = `{"image":"a & b.png","width":640,"height":480,"proposals":300,"detections":[LEAD` +
		`{"query":"dog","box":[1,2.5,11,22.5],"score":0.75,"cosine":0.25,"probability":0.5,"objectness":0.125,"phrase":"a <dog> & \"cat\", or so","runner_up":"bike"},LEAD` +
		`{"query":"bike","box":[0,0,640,480],"score":0.5,"cosine":-0.5,"probability":1,"objectness":1,"phrase":"a bike","runner_up":""}` +
		`],"timings_ms":{"upload":0,"rpn":1.5,"crop":0,"encode":0,"rank":0,"download":0}}`
	goldenError = `{"image":"broken.png","error":"it is <broken>"}`
	goldenNone  = `{"image":"none.png","width":2,"height":1,"proposals":0,"detections":[],"timings_ms":{"upload":0,"rpn":0,"crop":0,"encode":0,"rank":0,"download":0}}`
)

// newWriter returns a writer with the queries dog and bike.
func newWriter(format string, w io.Writer) (Writer, error) {
	switch format {
	case "json":
		return NewJSONWriter(w, false), nil
	case "json list":
		return NewJSONWriter(w, true), nil
	case "jsonl":
		return NewJSONLWriter(w), nil
	case "coco":
		return NewCOCOWriter(w, []string{"dog", "bike"}, nil)
	case "coco-results":
		return NewCOCOResultsWriter(w, []string{"dog", "bike"}, nil)
	}
	return NewCSVWriter(w)
}

// written returns the text of records in a format.
func written(t testing.TB, format string, records []Record) string {
	t.Helper()
	var got bytes.Buffer
	w, err := newWriter(format, &got)
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	for _, r := range records {
		err = errors.Join(err, w.Write(r))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return got.String()
}

func TestFormats(t *testing.T) {
	lead := func(s, lead string) string { return strings.ReplaceAll(s, "LEAD", lead) }
	all := three()
	tests := []struct {
		format  string
		records []Record
		want    string
	}{
		{"json", all[:1], lead(goldenFound, "\n  ") + "\n"},
		{"json", all[1:2], goldenError + "\n"},
		{"json list", all, "[\n" + lead(goldenFound, "\n  ") + ",\n" + goldenError + ",\n" + goldenNone + "\n]\n"},
		{"json list", all[:0], "[]\n"},
		{"jsonl", all, lead(goldenFound, "") + "\n" + goldenError + "\n" + goldenNone + "\n"},
		{"coco", all, `{"info":{"description":"Detections by clipdet"},
"categories":[{"id":1,"name":"dog"},{"id":2,"name":"bike"}],
"annotations":[
{"id":1,"image_id":139,"category_id":1,"bbox":[1,2.5,10,20],"area":200,"iscrowd":0,"score":0.75},
{"id":2,"image_id":139,"category_id":2,"bbox":[0,0,640,480],"area":307200,"iscrowd":0,"score":0.5}
]
,"images":[
{"id":139,"file_name":"a & b.png","width":640,"height":480},
{"id":9,"file_name":"none.png","width":2,"height":1}
]
}
`},
		{"coco", all[:0], `{"info":{"description":"Detections by clipdet"},
"categories":[{"id":1,"name":"dog"},{"id":2,"name":"bike"}],
"annotations":[]
,"images":[]
}
`},
		{"coco-results", all, `[
{"image_id":139,"category_id":1,"bbox":[1,2.5,10,20],"score":0.75},
{"image_id":139,"category_id":2,"bbox":[0,0,640,480],"score":0.5}
]
`},
		{"coco-results", all[1:], "[]\n"},
		{"csv", all, `image,query,x0,y0,x1,y1,score,cosine,probability,objectness,phrase,runner_up
a & b.png,dog,1,2.5,11,22.5,0.75,0.25,0.5,0.125,"a <dog> & ""cat"", or so",bike
a & b.png,bike,0,0,640,480,0.5,-0.5,1,1,a bike,
`},
	}
	for _, test := range tests {
		got := written(t, test.format, test.records)
		if got != test.want {
			t.Errorf("%s of %d records: got\n%s\nwant\n%s", test.format, len(test.records), got, test.want)
		}
		if (strings.HasPrefix(test.format, "json") && test.format != "jsonl" || strings.HasPrefix(test.format, "coco")) && !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON:\n%s", test.format, got)
		}
	}
	if got, err := json.Marshal(all[2]); err != nil || string(got) != goldenNone {
		t.Errorf("json.Marshal of a record: got %s, %v; want %s", got, err, goldenNone)
	}
}

type brokenPipe struct{}

var errPipe = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }
func (brokenPipe) Read([]byte) (int, error)  { return 0, errPipe }

func TestWritersAndReadersReportTheErrorsOfFiles(t *testing.T) {
	for _, format := range []string{"json", "json list", "jsonl", "coco", "coco-results", "csv"} {
		w, err := newWriter(format, brokenPipe{})
		if err == nil {
			err = w.Write(three()[0])
		}
		if !errors.Is(err, errPipe) {
			t.Errorf("%s: got %v when writing fails, want %v", format, err, errPipe)
		}
	}
	for _, format := range []string{"json", "json list", "jsonl"} {
		start := written(t, format, three()[:1])
		for _, before := range []string{"", start[:len(start)/2]} {
			if _, err := read(format, io.MultiReader(strings.NewReader(before), brokenPipe{}), Limits{}); !errors.Is(err, errPipe) || errors.Is(err, ErrFormat) {
				t.Errorf("%s: got %v when reading fails after %d bytes, want %v and not ErrFormat", format, err, len(before), errPipe)
			}
		}
	}
	if _, err := NewYOLOWriter(filepath.Join(t.TempDir(), "none\x00"), "", nil); err == nil {
		t.Error("yolo: no error for a folder that can't be made")
	}
}

// read reads JSON or JSON Lines.
func read(format string, r io.Reader, limits Limits) ([]Record, error) {
	var records []Record
	switch format {
	case "json", "json list":
		for record, err := range ReadJSON(r, limits) {
			if err != nil {
				return records, err
			}
			records = append(records, record)
		}
	case "jsonl":
		for line, err := range ReadJSONL(r, limits) {
			if err != nil {
				return records, err
			}
			records = append(records, line.Record)
		}
	}
	return records, nil
}

// kept returns what JSON keeps of records: all but their IDs.
func kept(records []Record) []Record {
	records = slices.Clone(records)
	for i := range records {
		records[i].ID = 0
	}
	return records
}

// sets returns lists of records: the whole ones, and each hard record alone.
func sets() map[string][]Record {
	sets := map[string][]Record{"three": three(), "hard": hard(), "none": nil}
	for _, r := range hard() {
		sets["one: "+r.Image] = []Record{r}
	}
	return sets
}

func TestRoundTrips(t *testing.T) {
	for name, records := range sets() {
		for _, format := range []string{"json", "json list", "jsonl"} {
			if format == "json" && len(records) != 1 {
				continue
			}
			text := written(t, format, records)
			got, err := read(format, strings.NewReader(text), Limits{})
			if want := kept(records); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %q: got %v\n%+v\nwant\n%+v\nof\n%s", format, name, err, got, want, text)
			}
		}
	}
}

// readCOCO reads COCO results. Category 1 is the first query.
func readCOCO(t *testing.T, text string, queries ...string) (ids []int64, found []detect.Detection) {
	t.Helper()
	results, err := eval.ReadResults(strings.NewReader(text), eval.Limits{})
	if err != nil {
		t.Fatalf("coco: %v in\n%s", err, text)
	}
	for _, r := range results {
		ids = append(ids, r.ImageID)
		found = append(found, detect.Detection{Query: queries[r.CategoryID-1], Box: r.BBox.Box(), Score: float32(r.Score)})
	}
	return ids, found
}

func TestCOCORoundTrip(t *testing.T) {
	for name, records := range sets() {
		var wantIDs []int64
		var want []detect.Detection
		var wantImages []eval.Image
		for _, r := range records {
			if r.Error == "" {
				wantImages = append(wantImages, eval.Image{ID: r.ID, FileName: r.Image, Width: r.Width, Height: r.Height})
			}
			for _, d := range r.Detections {
				wantIDs = append(wantIDs, r.ID)
				want = append(want, detect.Detection{Query: d.Query, Box: d.Box, Score: d.Score})
			}
		}
		for _, format := range []string{"coco", "coco-results"} {
			text := written(t, format, records)
			ids, found := readCOCO(t, text, "dog", "bike")
			if !slices.Equal(ids, wantIDs) || !slices.Equal(found, want) {
				t.Errorf("%s, %q: got %v\n%+v\nwant %v\n%+v\nof\n%s", format, name, ids, found, wantIDs, want, text)
			}
		}
		d, err := eval.ReadDataset(strings.NewReader(written(t, "coco", records)), eval.Limits{})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if !reflect.DeepEqual(d.Images, wantImages) || !reflect.DeepEqual(d.Categories, []eval.Category{{ID: 1, Name: "dog"}, {ID: 2, Name: "bike"}}) {
			t.Errorf("%q: got images %+v and categories %+v, want %+v, dog and bike", name, d.Images, d.Categories, wantImages)
		}
		if d.Warnings() != nil || len(d.Annotations) != len(want) {
			t.Errorf("%q: got %d annotations and the warnings %q, want %d and none", name, len(d.Annotations), d.Warnings(), len(want))
		}
		for i, a := range d.Annotations {
			if b := want[i].Box; a.ID != int64(i)+1 || a.BBox.Box() != b || a.Area != a.BBox[2]*a.BBox[3] || a.Crowd {
				t.Errorf("%q, annotation %d: got %+v, want the box %v", name, i+1, a, b)
			}
		}
	}
}

// TestCOCOWithIDsOfADataset writes with the ids and names of a data set, and two records
// of one image.
func TestCOCOWithIDsOfADataset(t *testing.T) {
	record := three()[0]
	record.FileName = "val/a.png"
	categories := []eval.Category{{ID: 18, Name: "Dog_"}, {ID: 2, Name: "bike"}}
	var text, list bytes.Buffer
	w, err := NewCOCOWriter(&text, []string{"dog", "bike"}, categories)
	if err != nil {
		t.Fatal(err)
	}
	results, err := NewCOCOResultsWriter(&list, []string{"dog", "bike"}, categories)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(w.Write(record), results.Write(record)); err != nil {
			t.Fatal(err)
		}
	}
	before := text.Len()
	for _, change := range []func(*Record){func(r *Record) { r.FileName = "val/b.png" }, func(r *Record) { r.Width = 641 }} {
		other := record
		change(&other)
		if err := w.Write(other); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), "image_id 139") || text.Len() != before {
			t.Errorf("another image with the id: got %v, want ErrRecord and nothing written", err)
		}
	}
	if err := errors.Join(w.Close(), results.Close()); err != nil {
		t.Fatal(err)
	}
	d, err := eval.ReadDataset(&text, eval.Limits{})
	if err != nil || len(d.Images) != 1 || d.Images[0].FileName != "val/a.png" || !reflect.DeepEqual(d.Categories, categories) || len(d.Annotations) != 4 {
		t.Fatalf("got %+v, %v; want one image, val/a.png, two categories and four annotations", d, err)
	}
	again, err := eval.ReadResults(&list, eval.Limits{})
	if err != nil || len(again) != 4 {
		t.Fatalf("got %+v, %v; want four results", again, err)
	}
	for i, a := range d.Annotations {
		if want := []int64{18, 2}[i%2]; a.CategoryID != want || again[i].CategoryID != want {
			t.Errorf("annotation %d has the category_id %d, and the result %d; want %d", i+1, a.CategoryID, again[i].CategoryID, want)
		}
	}
	for _, bad := range [][]eval.Category{{}, categories[:1], {{ID: 1}, {ID: 1}}} {
		_, err := NewCOCOWriter(io.Discard, []string{"dog", "bike"}, bad)
		_, resultsErr := NewCOCOResultsWriter(io.Discard, []string{"dog", "bike"}, bad)
		if !errors.Is(err, ErrRecord) || !errors.Is(resultsErr, ErrRecord) {
			t.Errorf("categories %+v: got %v and %v, want ErrRecord", bad, err, resultsErr)
		}
	}
}

// readCSV reads CSV. Package encoding/csv drops the \r of each \r\n.
func readCSV(t *testing.T, text string) (images []string, found []detect.Detection) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 || !slices.Equal(rows[0], columns) {
		t.Fatalf("csv: %v, want a first row %q in\n%s", err, columns, text)
	}
	for _, row := range rows[1:] {
		var n [8]float32
		for i := range n {
			v, err := strconv.ParseFloat(row[i+2], 32)
			if err != nil {
				t.Fatalf("csv: %v in\n%s", err, text)
			}
			n[i] = float32(v)
		}
		images = append(images, row[0])
		found = append(found, detect.Detection{
			Query: row[1], Box: box.Box{X0: n[0], Y0: n[1], X1: n[2], Y1: n[3]},
			Score: n[4], Cosine: n[5], Probability: n[6], Objectness: n[7], Phrase: row[10], RunnerUp: row[11],
		})
	}
	return images, found
}

func TestCSVRoundTrip(t *testing.T) {
	for name, records := range sets() {
		text := written(t, "csv", records)
		images, found := readCSV(t, text)
		var wantImages []string
		var want []detect.Detection
		unix := strings.NewReplacer("\r\n", "\n")
		for _, r := range records {
			for _, d := range r.Detections {
				for _, cell := range []string{r.Image, d.Phrase, d.RunnerUp} {
					if !strings.Contains(text, strings.ReplaceAll(cell, `"`, `""`)) {
						t.Errorf("%q: the cell %q is not in\n%s", name, cell, text)
					}
				}
				wantImages = append(wantImages, unix.Replace(r.Image))
				d.Phrase, d.RunnerUp = unix.Replace(d.Phrase), unix.Replace(d.RunnerUp)
				want = append(want, d)
			}
		}
		if !slices.Equal(images, wantImages) || !slices.Equal(found, want) {
			t.Errorf("%q: got %q\n%+v\nwant %q\n%+v\nof\n%s", name, images, found, wantImages, want, text)
		}
	}
}

func TestRecordsThatCannotBeWritten(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	bad := func(change func(*Record)) Record {
		r := three()[0]
		r.Detections = slices.Clone(r.Detections)
		change(&r)
		return r
	}
	everywhere := []string{"json", "json list", "jsonl", "coco", "coco-results", "csv", "yolo"}
	tests := []struct {
		name    string
		record  Record
		formats []string
	}{
		{"NaN score", bad(func(r *Record) { r.Detections[1].Score = nan }), everywhere},
		{"infinite cosine", bad(func(r *Record) { r.Detections[1].Cosine = inf }), everywhere},
		{"NaN edge", bad(func(r *Record) { r.Detections[1].Box.X0 = nan }), everywhere},
		{"reversed box", bad(func(r *Record) { r.Detections[1].Box.X0 = 641 }), everywhere},
		{"negative width", bad(func(r *Record) { r.Width = -1 }), everywhere},
		{"negative proposals", bad(func(r *Record) { r.Proposals = -1 }), everywhere},
		{"unknown query", bad(func(r *Record) { r.Detections[1].Query = "cat" }), []string{"coco", "coco-results", "yolo"}},
		{"no size", bad(func(r *Record) { r.Width = 0 }), []string{"coco", "yolo"}},
		{"box outside", bad(func(r *Record) { r.Detections[1].Box.X1 = 640.5 }), []string{"yolo"}},
		{"no file name", bad(func(r *Record) { r.Image = "/" }), []string{"yolo"}},
	}
	for _, test := range tests {
		for _, format := range test.formats {
			var got bytes.Buffer
			var w Writer
			var err error
			dir := t.TempDir()
			if format == "yolo" {
				w, err = NewYOLOWriter(dir, "", []string{"dog", "bike"})
			} else {
				w, err = newWriter(format, &got)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := got.Len()
			if err := w.Write(test.record); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), test.record.Image) {
				t.Errorf("%s, %s: got %v, want ErrRecord that names the picture", format, test.name, err)
			}
			if files, err := os.ReadDir(filepath.Join(dir, "labels")); got.Len() != before || len(files) > 0 {
				t.Errorf("%s, %s: it left %q and %v (%v), want nothing", format, test.name, got.String()[before:], files, err)
			}
			if err := w.Write(three()[0]); err != nil {
				t.Errorf("%s, %s: the next record fails with %v", format, test.name, err)
			}
		}
	}
	one := NewJSONWriter(io.Discard, false)
	if err := errors.Join(one.Write(three()[0])); err != nil {
		t.Fatal(err)
	}
	if err := one.Write(three()[1]); !errors.Is(err, ErrRecord) {
		t.Errorf("json, two pictures in an object: got %v, want ErrRecord", err)
	}
	if _, err := NewCOCOWriter(io.Discard, []string{"dog", "dog"}, nil); !errors.Is(err, ErrRecord) {
		t.Errorf("coco, two categories of one name: got %v, want ErrRecord", err)
	}
	for _, classes := range [][]string{{"dog", "dog"}, {""}, {"a\nb"}, {"a\r"}} {
		if _, err := NewYOLOWriter(t.TempDir(), "", classes); !errors.Is(err, ErrRecord) {
			t.Errorf("yolo, classes %q: got %v, want ErrRecord", classes, err)
		}
	}
}

func TestReadersRefuse(t *testing.T) {
	object := strings.ReplaceAll(goldenFound, "LEAD", "")
	with := func(old, replacement string) string {
		if !strings.Contains(object, old) {
			t.Fatalf("the object has no %s", old)
		}
		return strings.Replace(object, old, replacement, 1)
	}
	tests := []struct {
		format, text string
		says         string
	}{
		{"json", "", "unexpected EOF"},
		{"json", " \n", "unexpected EOF"},
		{"json", "7", `'7'`},
		{"json", "null", `'n'`},
		{"json", object + object, "more after the end"},
		{"json", "[]]", "after the end"},
		{"json", object[:len(object)-1], "EOF"},
		{"json", "[" + goldenError + ",\n" + goldenNone, "EOF"},
		{"json", "[" + goldenError + ",null]", "picture 2"},
		{"json", "[" + goldenError + goldenNone + "]", "picture 2"},
		{"json", "[{}]", "no image"},
		{"json", `{"image":"a"}`, "no width"},
		{"json", `{"image":"a","error":""}`, "without a text"},
		{"json", `{"image":"a","error":"e","width":1}`, "or with results"},
		{"json", "{\"image\":\"\xff\",\"error\":\"e\"}", "UTF-8"},
		{"json", with(`"width":640`, `"width":-640`), "-640"},
		{"json", with(`"width":640`, `"width":6.5`), "width"},
		{"json", with(`"height":480,`, ``), "no height"},
		{"json", with(`"proposals":300,`, ``), "no proposals"},
		{"json", with(`,"timings_ms":{"upload":0,"rpn":1.5,"crop":0,"encode":0,"rank":0,"download":0}`, ``), "no timings_ms"},
		{"json", with(`"rpn":1.5`, `"rpn":-1.5`), "-1.5"},
		{"json", with(`"rpn":1.5`, `"rpn":1e300`), "year"},
		{"json", strings.Replace(goldenNone, `[]`, `null`, 1), "no detections"},
		{"json", with(`"score":0.75,`, ``), "detection 1"},
		{"json", with(`"score":0.75`, `"score":null`), "detection 1"},
		{"json", with(`"score":0.5`, `"score":1e39`), "detection 2"},
		{"json", with(`[1,2.5,11,22.5]`, `[1,2.5,11]`), "four"},
		{"json", with(`[1,2.5,11,22.5]`, `[12,2.5,11,22.5]`), "x0 <= x1"},
		{"jsonl", goldenNone + "\n\n" + goldenError + "\n", "line 2"},
		{"jsonl", goldenNone + "\n" + goldenError[:20] + "\n", "line 2"},
		{"jsonl", goldenNone + "\n" + goldenError[:20] + "\n" + goldenError + "\n", "line 2"},
		{"jsonl", goldenNone + goldenError + "\n", "line 1"},
	}
	for _, test := range tests {
		_, err := read(test.format, strings.NewReader(test.text), Limits{})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want ErrFormat that says %q of\n%s", test.format, err, test.says, test.text)
		}
	}
}

// TestReadersTake reads what other programs write differently.
func TestReadersTake(t *testing.T) {
	object := strings.ReplaceAll(goldenFound, "LEAD", "")
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte("["+object+","+goldenError+"]"), "", "\t"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, format, text string
		want               []Record
	}{
		{"white space", "json", " \r\n\t" + indented.String() + "\n ", kept(three()[:2])},
		{"an object with space", "json", "\n\n " + goldenNone + " \n", kept(three()[2:])},
		{"fields of a later version", "json", strings.Replace(goldenNone, "{", `{"later":[{"image":1}],`, 1), kept(three()[2:])},
		{"CRLF", "jsonl", goldenError + "\r\n" + goldenNone + "\r\n", kept(three()[1:])},
		{"no last line end", "jsonl", goldenError + "\n" + goldenNone, kept(three()[1:])},
	}
	for _, test := range tests {
		got, err := read(test.format, strings.NewReader(test.text), Limits{})
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s, %s: got %v and\n%+v\nwant\n%+v", test.format, test.name, err, got, test.want)
		}
	}
}

// TestLimits checks that the largest input within a limit passes, and that a reader reads
// little more than its limit.
func TestLimits(t *testing.T) {
	all := three()
	for _, format := range []string{"json", "json list", "jsonl"} {
		records := all
		if format == "json" {
			records = all[:1]
		}
		text := written(t, format, records)
		longest := len(strings.ReplaceAll(goldenFound, "LEAD", "\n  ")) + 2
		tests := []struct {
			limits Limits
			passes bool
			says   string
		}{
			{Limits{Bytes: int64(len(text))}, true, ""},
			{Limits{Bytes: int64(len(text)) - 1}, false, "Limits.Bytes"},
			{Limits{Detections: 2}, true, ""},
			{Limits{Detections: 1}, false, "Limits.Detections"},
			{Limits{Line: int64(longest)}, true, ""},
			{Limits{Line: 60}, false, "Limits.Line"},
			{Limits{-1, -1, -1}, true, ""},
			{Limits{math.MaxInt, math.MaxInt64, math.MaxInt64}, true, ""},
		}
		for _, test := range tests {
			_, err := read(format, strings.NewReader(text), test.limits)
			if test.passes && err != nil || !test.passes && (!errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("%s, %+v: got %v, want ErrLimit %v", format, test.limits, err, !test.passes)
			}
		}
		// A picture without an end.
		endless := &endless{start: strings.NewReader(text[:len(text)/2] + `"`)}
		if _, err := read(format, endless, Limits{Line: 1000}); err == nil || endless.given > 20000 {
			t.Errorf("%s: a line without an end gives %v after %d bytes, want an error within 20,000", format, err, endless.given)
		}
	}
}

type endless struct {
	start io.Reader
	given int
}

func (e *endless) Read(p []byte) (int, error) {
	n, _ := e.start.Read(p)
	if n == 0 {
		for i := range p {
			p[i] = ' '
		}
		n = len(p)
	}
	e.given += n
	return n, nil
}

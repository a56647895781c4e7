package eval

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// instances returns a data set's JSON with the given annotations.
func instances(annotation string) string {
	return `{"info":{"year":2017},"images":[{"id":7,"file_name":"a.jpg","width":640,"height":480.0}],
"annotations":[` + annotation + `],"categories":[{"id":3,"name":"cat","supercategory":"animal"}]}`
}

func TestReadDataset(t *testing.T) {
	d, err := ReadDataset(strings.NewReader(instances(
		`{"id":1,"image_id":7,"category_id":3,"bbox":[1,2,3,4.5],"area":5.5,"iscrowd":1,"segmentation":{"counts":[1],"size":[1,1]}},
		 {"id":-2,"image_id":7,"category_id":3,"bbox":[-1,0,2,3],"iscrowd":false}`)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Dataset{
		Images: []Image{{ID: 7, FileName: "a.jpg", Width: 640, Height: 480}},
		Annotations: []Annotation{
			{ID: 1, ImageID: 7, CategoryID: 3, BBox: BBox{1, 2, 3, 4.5}, Area: 5.5, Crowd: true},
			{ID: -2, ImageID: 7, CategoryID: 3, BBox: BBox{-1, 0, 2, 3}, Area: 6},
		},
		Categories: []Category{{ID: 3, Name: "cat", Supercategory: "animal"}},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("read %+v, want %+v", d, want)
	}
}

func TestReadFederated(t *testing.T) {
	d, err := ReadDataset(strings.NewReader(`{"categories":[{"id":1,"frequency":"r"},{"id":2}],"annotations":[],
"images":[{"id":1,"coco_url":"http://images.example/val2017/000000397133.jpg","neg_category_ids":[2],"not_exhaustive_category_ids":[1]}]}`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := Image{ID: 1, FileName: "000000397133.jpg", Negative: []int64{2}, NotExhaustive: []int64{1}}
	if !d.Federated || !reflect.DeepEqual(d.Images[0], want) || d.Categories[0].Frequency != "r" {
		t.Errorf("read %+v", d)
	}
}

func TestReadDatasetFails(t *testing.T) {
	annotation := func(id, image, category int, rest string) string {
		return fmt.Sprintf(`{"id":%d,"image_id":%d,"category_id":%d,%s}`, id, image, category, rest)
	}
	good := annotation(1, 7, 3, `"bbox":[0,0,1,1]`)
	tests := []struct {
		name, json string
		limits     Limits
		want       error
		says       string
	}{
		{"empty", "", Limits{}, ErrFormat, "ends early"},
		{"a list", "[]", Limits{}, ErrFormat, "begins with [, want {"},
		{"no list of images", `{"annotations":[],"categories":[]}`, Limits{}, ErrFormat, `no list "images"`},
		{"images twice", `{"images":[],"images":[]}`, Limits{}, ErrFormat, `"images" occurs twice`},
		{"images are an object", `{"images":{}}`, Limits{}, ErrFormat, "begins with {, want ["},
		{"cut off", instances(good)[:200], Limits{}, ErrFormat, "ends early"},
		{"more after the end", instances(good) + "{}", Limits{}, ErrFormat, "continues"},
		{"an id that is text", `{"images":[{"id":"a"}]}`, Limits{}, ErrFormat, `image 0: not in COCO's format: the id "a" is no whole number`},
		{"an annotation that is null", instances("null"), Limits{}, ErrFormat, "annotation 0"},
		{"no id", instances(`{"image_id":7}`), Limits{}, ErrFormat, "it has no id"},
		{"no category", instances(`{"id":5,"image_id":7}`), Limits{}, ErrFormat, "annotation 0: id 5: not in COCO's format: it has no category_id"},
		{"no bbox", instances(`{"id":5,"image_id":7,"category_id":3}`), Limits{}, ErrFormat, "it has no bbox"},
		{"three numbers", instances(annotation(5, 7, 3, `"bbox":[1,2,3]`)), Limits{}, ErrBBox, "3 numbers"},
		{"null in a bbox", instances(annotation(5, 7, 3, `"bbox":[1,2,null,3]`)), Limits{}, ErrBBox, "number 2 is null"},
		{"NaN", instances(annotation(5, 7, 3, `"bbox":[1,2,NaN,3]`)), Limits{}, ErrNumber, "bbox is NaN"},
		{"Infinity", instances(annotation(5, 7, 3, `"bbox":[1,2,-Infinity,3]`)), Limits{}, ErrNumber, "bbox is NaN, infinite"},
		{"an area of NaN", instances(annotation(5, 7, 3, `"bbox":[1,2,3,3],"area":NaN`)), Limits{}, ErrNumber, "area is NaN"},
		{"a word like NaN", instances(annotation(5, 7, 3, `"bbox":[1,2,None,3]`)), Limits{}, ErrFormat, "invalid character 'N'"},
		{"an id that is no whole number", `{"images":[{"id":1.5}]}`, Limits{}, ErrFormat, "the id 1.5 is no whole number"},
		{"an id beyond int64", `{"images":[{"id":1e30}]}`, Limits{}, ErrFormat, "the id 1e30 is too large"},
		{"an id of 2^63", `{"images":[{"id":9223372036854775808}]}`, Limits{}, ErrFormat, "the id 9223372036854775808 is too large"},
		{"a bbox that is text", instances(annotation(5, 7, 3, `"bbox":"1,2,3,3"`)), Limits{}, ErrFormat, "bbox is a string, want a list of numbers"},
		{"text in a bbox", instances(annotation(5, 7, 3, `"bbox":[1,2,"3",3]`)), Limits{}, ErrFormat, "bbox is a string, want a number"},
		{"a name that is a number", `{"images":[{"id":1,"file_name":1}]}`, Limits{}, ErrFormat, "file_name is a number, want a string"},
		{"a name that is an array", `{"images":[{"id":1,"file_name":[]}]}`, Limits{}, ErrFormat, "file_name is an array, want a string"},
		{"an image that is a number", `{"images":[1]}`, Limits{}, ErrFormat, "is a number, want an object"},
		{"beyond float64", instances(annotation(5, 7, 3, `"bbox":[1,2,1e999,3]`)), Limits{}, ErrNumber, "beyond any number"},
		{"negative height", instances(good + "," + annotation(5, 7, 3, `"bbox":[1,2,3,-3]`)), Limits{}, ErrBBox, "annotation 1 (id 5)"},
		{"negative area", instances(annotation(5, 7, 3, `"bbox":[1,2,3,3],"area":-1`)), Limits{}, ErrNumber, "the area is -1"},
		{"iscrowd is text", instances(annotation(5, 7, 3, `"bbox":[1,2,3,3],"iscrowd":"no"`)), Limits{}, ErrFormat, "iscrowd"},
		{"one id twice", instances(good + "," + good), Limits{}, ErrDuplicate, "annotations 0 and 1 both have the id 1"},
		{"two images of one id", `{"images":[{"id":1},{"id":2},{"id":1}],"annotations":[],"categories":[]}`, Limits{}, ErrDuplicate, "images 0 and 2"},
		{"a size below 0", `{"images":[{"id":1,"width":-1}]}`, Limits{}, ErrNumber, "-1 x 0"},
		{"a list of unknown categories", `{"images":[{"id":1,"neg_category_ids":[9]}],"annotations":[],"categories":[]}`, Limits{}, ErrUnknown, "id 9"},
		{"a frequency", `{"images":[],"annotations":[],"categories":[{"id":1,"frequency":"x"}]}`, Limits{}, ErrFormat, `"x"`},
		{"too many bytes", instances(good), Limits{Bytes: 20}, ErrTooLarge, "20 bytes"},
		{"too many annotations", instances(good + "," + good), Limits{Items: 1}, ErrTooLarge, "more than 1 of annotation"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, err := ReadDataset(strings.NewReader(test.json), test.limits)
			if d != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("read %v, error %v; want %v that says %q", d, err, test.want, test.says)
			}
		})
	}
}

func TestReadersPassOnErrors(t *testing.T) {
	broken := errors.New("broken disk")
	r := io.MultiReader(strings.NewReader(`{"images":[`), iotest.ErrReader(broken))
	if _, err := ReadDataset(r, Limits{}); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("ReadDataset gives %v", err)
	}
	if _, err := ReadResultsFile("testdata/none.json", Limits{}); err == nil || !strings.Contains(err.Error(), "testdata/none.json") {
		t.Errorf("a file that isn't there: %v", err)
	}
	if _, err := ReadResultsFile("testdata/coco.dataset.json", Limits{}); err == nil || !strings.HasPrefix(err.Error(), "testdata/coco.dataset.json: ") {
		t.Errorf("a file that isn't one of results: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, datasetErr := ReadDatasetFile(pipe, Limits{})
	_, resultsErr := ReadResultsFile(pipe, Limits{})
	for _, err := range []error{datasetErr, resultsErr} {
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), pipe) {
			t.Errorf("a pipe that nobody writes to: %v, want ErrFormat that names it", err)
		}
	}
}

func TestReadResultsFails(t *testing.T) {
	tests := []struct {
		name, json string
		want       error
		says       string
	}{
		{"an object", `{}`, ErrFormat, "begins with {, and has no list"},
		{"a text", `"1"`, ErrFormat, "want a list of results or a data set"},
		{"annotations twice", `{"annotations":[],"annotations":[]}`, ErrFormat, "occurs twice"},
		{"ground truth", `{"annotations":[{"id":1,"image_id":1,"category_id":2,"bbox":[1,2,3,4]}]}`, ErrFormat, "annotation 0: not in COCO's format: it has no score"},
		{"more after an object", `{"annotations":[]} 1`, ErrFormat, "continues"},
		{"no score", `[{"image_id":1,"category_id":2,"bbox":[1,2,3,4]}]`, ErrFormat, "result 0: not in COCO's format: it has no score"},
		{"no image", `[{"score":1}]`, ErrFormat, "image_id"},
		{"a negative width", `[{"image_id":1,"category_id":2,"bbox":[1,2,-3,4],"score":0}]`, ErrBBox, "result 0"},
		{"more after the end", `[] 1`, ErrFormat, "continues"},
		{"cut off", `[`, ErrFormat, "ends early"},
	}
	for _, test := range tests {
		results, err := ReadResults(strings.NewReader(test.json), Limits{})
		if results != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: read %v, error %v; want %v that says %q", test.name, results, err, test.want, test.says)
		}
	}
	if _, err := ReadResults(strings.NewReader(`[{"image_id":1,"category_id":2,"bbox":[1,2,3,4],"score":0},{}]`), Limits{Items: 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("two results where one is the limit: %v", err)
	}
}

// TestResultsOfADataset has the same results as a list and as annotations.
func TestResultsOfADataset(t *testing.T) {
	const one = `[{"id":7,"image_id":1,"category_id":2,"bbox":[1,2,3,4],"area":12,"iscrowd":0,"score":0.5}]`
	want, err := ReadResults(strings.NewReader(one), Limits{})
	if err != nil || len(want) != 1 {
		t.Fatalf("the list: %v, %v", want, err)
	}
	got, err := ReadResults(strings.NewReader(`{"info":{},"categories":[{"id":2}],"annotations":`+one+`,"images":[{"id":1}]}`), Limits{})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the data set: got %v (%v), want %v", got, err, want)
	}
}

// TestReadImages reads data sets with annotations of any kind, and without.
func TestReadImages(t *testing.T) {
	const images = `{"images":[{"id":7,"file_name":"a.jpg"}],"categories":[{"id":2,"name":"dog"}]`
	for _, rest := range []string{`}`, `,"annotations":[]}`, `,"annotations":[{"image_id":"none"},7]}`} {
		d, err := ReadImages(strings.NewReader(images+rest), Limits{})
		if err != nil || len(d.Images) != 1 || d.Images[0].FileName != "a.jpg" || len(d.Categories) != 1 || len(d.Annotations) != 0 {
			t.Errorf("%s: got %+v, %v; want an image and a category", rest, d, err)
		}
	}
	for _, text := range []string{`{}`, `{"images":[]}`, images, images + `,"annotations":7}`, images + `,"images":[]}`} {
		if d, err := ReadImages(strings.NewReader(text), Limits{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %+v, %v; want ErrFormat", text, d, err)
		}
	}
}

func TestResultsRoundTrip(t *testing.T) {
	_, random := randomSet(3, 2, 5)
	for _, results := range [][]Result{{}, {{ImageID: -1, CategoryID: 1 << 60, BBox: BBox{0.1, -2, 1e-9, 3}, Score: -0.25}}, random} {
		var file bytes.Buffer
		if err := WriteResults(&file, results); err != nil {
			t.Fatal(err)
		}
		again, err := ReadResults(&file, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, results) {
			t.Errorf("wrote %v, read %v", results, again)
		}
	}
	if err := WriteResults(io.Discard, []Result{{BBox: BBox{0, 0, -1, 0}}}); !errors.Is(err, ErrBBox) {
		t.Errorf("a box of negative width is written: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	d := oneImage(at(0), at(20))
	if w := d.Warnings(); w != nil {
		t.Errorf("warnings %q of a good data set", w)
	}
	d.Annotations[1].ID = 0
	if w := d.Warnings(); len(w) != 1 || !strings.Contains(w[0], "annotation 1") {
		t.Errorf("warnings %q of one with the id 0", w)
	}
}

// addFile adds a file as a seed.
func addFile(f *testing.F, path string) {
	f.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
}

// known fails the test if err is none of the sentinels.
func known(t *testing.T, err error) {
	t.Helper()
	for _, sentinel := range []error{ErrFormat, ErrTooLarge, ErrDuplicate, ErrUnknown, ErrBBox, ErrNumber} {
		if errors.Is(err, sentinel) {
			return
		}
	}
	t.Errorf("%v is no sentinel", err)
}

func FuzzReadDataset(f *testing.F) {
	f.Add([]byte(instances(`{"id":1,"image_id":7,"category_id":3,"bbox":[1,2,3,4.5],"area":5.5,"iscrowd":1}`)))
	f.Add([]byte(instances(`{"id":0,"image_id":7,"category_id":3,"bbox":[1e300,2,0,1e-300],"iscrowd":true,"area":null}`)))
	f.Add([]byte(`{"images":[{"id":1,"neg_category_ids":[1],"not_exhaustive_category_ids":null}],"annotations":[],"categories":[{"id":1,"frequency":"f"}]}`))
	f.Add([]byte(`{"images":[null],"annotations":[1],"categories":{}}`))
	for _, path := range []string{"../../testdata/images/instances.json", "testdata/coco.dataset.json", "testdata/lvis.dataset.json"} {
		addFile(f, path)
	}
	f.Add([]byte(`{"info":[[[{"a":1}]]],"images":[],"annotations":[],"categories":[]} `))
	for _, name := range []string{"annid-0.json", "bom.json", "imgid-float.json", "nan-info.json", "subset-images-only.json"} {
		f.Add(readCase(f, name))
	}
	f.Add([]byte("\xff\xfe{\x00}\x00"))
	f.Add([]byte(`{"a":-Infinity,"b":"\"NaN","images":[{"id":"007"}],"annotations":[],"categories":[{"id":1e2}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ReadDataset(bytes.NewReader(data), Limits{Bytes: 1 << 16})
		if err != nil {
			if d != nil {
				t.Errorf("a data set beside the error %v", err)
			}
			known(t, err)
			return
		}
		images, err := ReadImages(bytes.NewReader(data), Limits{Bytes: 1 << 16})
		if err != nil || !reflect.DeepEqual(images.Images, d.Images) || !reflect.DeepEqual(images.Categories, d.Categories) {
			t.Errorf("without annotations: read %+v, error %v, want the images and categories of %+v", images, err, d)
		}
		results := []Result{}
		for _, a := range d.Annotations {
			results = append(results, Result{a.ImageID, a.CategoryID, a.BBox, a.Area})
		}
		e, err := Evaluate(d, results)
		if err != nil {
			t.Fatalf("what was read can't be evaluated: %v", err)
		}
		for i, v := range e.Summary.values() {
			if !(*v == -1 || *v >= 0 && *v <= 1) {
				t.Errorf("number %d is %v", i, *v)
			}
		}
	})
}

func FuzzReadResults(f *testing.F) {
	f.Add([]byte(`[]`))
	addFile(f, "testdata/coco.results.json")
	f.Add([]byte(`{"annotations":[{"id":1,"image_id":1,"category_id":2,"bbox":[1,2,3,4],"score":0.5}],"images":[]}`))
	f.Add([]byte(`[{"image_id":1,"category_id":2,"bbox":[1,2,3,4],"score":0.5}]`))
	f.Add([]byte(`[{"image_id":1,"category_id":2,"bbox":[1,2,3,4,5],"score":1e999}]`))
	f.Add([]byte(`[{"image_id":1.5,"category_id":null,"bbox":null,"score":"1"},]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		results, err := ReadResults(bytes.NewReader(data), Limits{Bytes: 1 << 17})
		if err != nil {
			known(t, err)
			return
		}
		var file bytes.Buffer
		if err := WriteResults(&file, results); err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := ReadResults(&file, Limits{})
		if err != nil || !reflect.DeepEqual(again, results) {
			t.Errorf("read %v, then %v, error %v", results, again, err)
		}
	})
}

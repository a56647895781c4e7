package eval

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

const casesDir = "../../testdata/coco"

func readCase(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(casesDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFilesAsPeopleHaveThem compares the twelve numbers with those of pycocotools.
func TestFilesAsPeopleHaveThem(t *testing.T) {
	var golden map[string][]float64
	if err := json.Unmarshal(readCase(t, "golden.json"), &golden); err != nil || len(golden) != 8 {
		t.Fatalf("%d golden numbers: %v", len(golden), err)
	}
	all, err := ReadResultsFile(filepath.Join(casesDir, "results.json"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	warnings := map[string]string{
		"annid-0.json":            "annotation 0 has the id 0",
		"subset-images-only.json": "8 annotations are left out: their image_id is none of the images",
	}
	for name, want := range golden {
		d, err := ReadDatasetFile(filepath.Join(casesDir, name), Limits{})
		if err != nil {
			t.Error(err)
			continue
		}
		results := slices.DeleteFunc(slices.Clone(all), func(r Result) bool {
			return !slices.ContainsFunc(d.Images, func(i Image) bool { return i.ID == r.ImageID })
		})
		e, err := Evaluate(d, results)
		if err != nil {
			t.Error(err)
			continue
		}
		nearAll(t, name, numbers(e.Summary), want)
		if w := strings.Join(d.Warnings(), "\n"); !strings.Contains(w, warnings[name]) || (warnings[name] == "") != (w == "") {
			t.Errorf("%s: warnings %q, want %q", name, w, warnings[name])
		}
	}
}

// TestFormsOfAFile rewrites a file in further ways, each of which must read as the same
// data set.
func TestFormsOfAFile(t *testing.T) {
	base := string(readCase(t, "base.json"))
	want, err := ReadDataset(strings.NewReader(base), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	wide := func(text string, low, high int) []byte {
		var out []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			b := []byte{byte(unit), byte(unit >> 8)}
			out = append(out, b[low], b[high])
		}
		return out
	}
	for name, data := range map[string][]byte{
		"UTF-8 with a byte order mark": []byte("\ufeff" + base),
		"UTF-16LE, as PowerShell":      wide(base, 0, 1),
		"UTF-16BE":                     wide(base, 1, 0),
		"ids as text":                  []byte(strings.NewReplacer(`"id": 1,`, `"id": "1",`, `"image_id": 1,`, `"image_id": "0001",`).Replace(base)),
		"ids as floats":                []byte(strings.NewReplacer(`"id": 1,`, `"id": 1.0,`, `"category_id": 3,`, `"category_id": 3e0,`).Replace(base)),
		"Infinity that isn't measured": []byte(`{"info": {"a": Infinity, "b": [-Infinity, NaN], "NaN": "NaN \" NaN \\"},` + base[1:]),
		"NaN beside an image's size":   []byte(strings.Replace(base, `"width": 640,`, `"width": 640, "date": NaN,`, 1)),
	} {
		for how, r := range map[string]io.Reader{"at once": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data))} {
			got, err := ReadDataset(r, Limits{})
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if a, b := asText(t, got), asText(t, want); a != b {
				t.Errorf("%s, %s: read %s, want %s", name, how, a, b)
			}
		}
	}
}

func asText(t *testing.T, d *Dataset) string {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

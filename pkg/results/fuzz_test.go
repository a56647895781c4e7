package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// small are limits that keep a fuzzed input from taking memory and time.
var small = Limits{Detections: 1000, Line: 1 << 16, Bytes: 1 << 18}

// fuzzStream holds that reading fails with a sentinel alone, that what is read can be written, and that it is then read
// as it was.
func fuzzStream(f *testing.F, readAs, writeAs string) {
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := read(readAs, bytes.NewReader(data), small)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
				t.Fatalf("%q fails with %v, which is no sentinel", data, err)
			}
			return
		}
		text := written(t, writeAs, records)
		again, err := read(writeAs, bytes.NewReader([]byte(text)), Limits{})
		if err != nil || len(records)+len(again) > 0 && !reflect.DeepEqual(again, kept(writeAs, records)) {
			t.Fatalf("%q was read as %+v, written as\n%s\nand read again as %+v, %v", data, records, text, again, err)
		}
	})
}

func FuzzReadJSON(f *testing.F)  { fuzzStream(f, "json list", "json list") }
func FuzzReadJSONL(f *testing.F) { fuzzStream(f, "jsonl", "jsonl") }
func FuzzReadCSV(f *testing.F)   { fuzzStream(f, "csv", "csv") }

// A width is rounded, so that COCO results aren't always the same again: here they are written as JSON.
func FuzzReadCOCO(f *testing.F) { fuzzStream(f, "coco", "json list") }

// FuzzReadJSONLResumes holds that what is cut off and appended to can be read.
func FuzzReadJSONLResumes(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var last Line
		for line, err := range ReadJSONL(bytes.NewReader(data), small) {
			if err != nil {
				return
			}
			if line.Number != last.Number+1 || line.End <= last.End || line.End > int64(len(data)) {
				t.Fatalf("%q: line %d ends at %d after line %d at %d", data, line.Number, line.End, last.Number, last.End)
			}
			last = line
		}
		file, err := os.Create(filepath.Join(t.TempDir(), "detections.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		w, err := AppendJSONL(file, last.End)
		if err == nil {
			err = w.Write(three()[1])
		}
		if err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		records, err := read("jsonl", bytes.NewReader(whole), Limits{})
		if err != nil || len(records) != last.Number+1 || !reflect.DeepEqual(records[last.Number:], kept("jsonl", three()[1:2])) {
			t.Fatalf("%q with a line behind is %q, read as %+v, %v", data, whole, records, err)
		}
	})
}

func FuzzCOCOIDs(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second COCOIDs
		if err := first.UnmarshalJSON(data); err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("%q fails with %v, which is not ErrFormat", data, err)
			}
			return
		}
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &second); err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%q was read as %v, written as %s and read again as %v, %v", data, first, text, second, err)
		}
	})
}

func FuzzReadYOLO(f *testing.F) {
	f.Fuzz(func(t *testing.T, classes, labels []byte) {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(filepath.Join(dir, labelsFolder), 0o755),
			os.WriteFile(filepath.Join(dir, classesFile), classes, 0o644),
			os.WriteFile(filepath.Join(dir, labelsFolder, "a.txt"), labels, 0o644)); err != nil {
			t.Fatal(err)
		}
		records, err := ReadYOLO(dir, map[string]Picture{"a": {"a.png", 640, 480}}, small)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
				t.Fatalf("%q fails with %v, which is no sentinel", labels, err)
			}
			return
		}
		if len(records) != 1 {
			t.Fatalf("%q: got %d records, want one for one file", labels, len(records))
		}
		for _, d := range records[0].Detections {
			if b := d.Box; !b.Valid() || b != b.Clip(640, 480) || !bytes.Contains(classes, []byte(d.Query)) {
				t.Errorf("%q: got %+v, want a box in the picture and a class of %q", labels, d, classes)
			}
		}
	})
}

package results

import (
	"bytes"
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

package evaluate

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// lineRecords returns a picture with a detection, one that failed, and one without
// detections.
func lineRecords() []results.Record {
	return []results.Record{
		{Image: "a.png", Width: 6, Height: 4, Proposals: 3, Detections: []detect.Detection{{Query: "dog", Phrase: "a \"dog\""}}},
		{Image: "broken.png", Error: "it is broken"},
		{Image: "none.png", Width: 2, Height: 1},
	}
}

func linesOf(t *testing.T, records []results.Record) string {
	t.Helper()
	var lines bytes.Buffer
	w := results.NewJSONLWriter(&lines)
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	return lines.String()
}

func readLines(r io.Reader) (records []results.Record, err error) {
	for line, err := range results.ReadJSONL(r, results.Limits{}) {
		if err != nil {
			return records, err
		}
		records = append(records, line.Record)
	}
	return records, nil
}

func TestAppendJSONL(t *testing.T) {
	records := lineRecords()
	whole := linesOf(t, records)
	want := records
	path := filepath.Join(t.TempDir(), "detections.jsonl")
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, []byte(whole[:cut]), 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var last results.Line
		read := 0
		for line, err := range results.ReadJSONL(file, results.Limits{}) {
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			last = line
			read++
		}
		// A line that only lacks its end counts.
		if done := strings.Count(whole[:min(cut+1, len(whole))], "\n"); read != done {
			t.Errorf("cut at %d: %d lines are done, want %d", cut, read, done)
		}
		w, err := appendJSONL(file, last.End)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records[read:] {
			if err := w.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readLines(bytes.NewReader(data))
		if err != nil || !reflect.DeepEqual(got, want) || cut < len(whole)-1 && string(data) != whole {
			t.Errorf("cut at %d: got %v and\n%s\nwant\n%s", cut, err, data, whole)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, end := range []int64{-1, 1 << 20} {
		if _, err := appendJSONL(file, end); !errors.Is(err, results.ErrFormat) {
			t.Errorf("going on at byte %d: got %v, want ErrFormat", end, err)
		}
	}
	if _, err := appendJSONL(file, 0); err == nil {
		t.Error("going on in a file that is open for reading alone: no error")
	}
}

// FuzzAppendJSONL verifies that a file that was cut off and continued can be read.
func FuzzAppendJSONL(f *testing.F) {
	records := lineRecords()
	f.Fuzz(func(t *testing.T, data []byte) {
		var last results.Line
		read := 0
		for line, err := range results.ReadJSONL(bytes.NewReader(data), results.Limits{Detections: 1000, Line: 1 << 16, Bytes: 1 << 18}) {
			if err != nil {
				return
			}
			if read++; line.End <= last.End || line.End > int64(len(data)) {
				t.Fatalf("%q: line %d ends at %d after the line before it at %d", data, read, line.End, last.End)
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
		w, err := appendJSONL(file, last.End)
		if err == nil {
			err = w.Write(records[1])
		}
		if err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		all, err := readLines(bytes.NewReader(whole))
		if err != nil || len(all) != read+1 || !reflect.DeepEqual(all[read:], records[1:2]) {
			t.Fatalf("%q with a line behind is %q, read as %+v, %v", data, whole, all, err)
		}
	})
}

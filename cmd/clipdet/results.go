package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/clipdet/clipdet/pkg/results"
)

// formatNames are the words of --format.
var formatNames = []string{"json", "jsonl", "coco", "csv", "yolo"}

// resultFile names the file of a format in --out.
func resultFile(format string) string {
	switch format {
	case "coco":
		return "detections.coco.json"
	default:
		return "detections." + format
	}
}

// resultWriter writes to a stream that it closes, where the format has one.
type resultWriter struct {
	results.Writer
	out *output // nil: files of the format's own
}

// openResults starts the results: on stdout and, with --out, in a file; YOLO's labels are files in --out alone. list
// asks json for an array, and the queries number classes and categories.
func (f *detectFlags) openResults(stdout io.Writer, list bool, queries []string) (*resultWriter, error) {
	if f.format.value == "yolo" {
		w, err := results.NewYOLOWriter(f.out, queries)
		if err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		return &resultWriter{Writer: w}, nil
	}
	out, err := openOutput(stdout, f.out, resultFile(f.format.value))
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	r := &resultWriter{out: out}
	switch f.format.value {
	case "json":
		r.Writer = results.NewJSONWriter(out, list)
	case "jsonl":
		r.Writer = results.NewJSONLWriter(out)
	case "coco":
		r.Writer, err = results.NewCOCOWriter(out, queries...)
	case "csv":
		r.Writer, err = results.NewCSVWriter(out)
	default:
		err = fmt.Errorf("no format %q", f.format.value)
	}
	if err != nil {
		return nil, errors.Join(err, out.close())
	}
	return r, nil
}

// end gives the file its name, whatever became of the run.
func (r *resultWriter) end() error {
	if r.out == nil {
		return nil
	}
	if err := r.out.close(); err != nil {
		return &failure{exitInputs, fmt.Errorf("write the results: %w", err)}
	}
	return nil
}

package outcome

import (
	"errors"
	"fmt"
	"io"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/results"
)

// Formats are the words of --format.
var Formats = []string{"json", "jsonl", "coco", "csv", "yolo"}

// fileName names the file of a format in --out.
func fileName(format string) string {
	switch format {
	case "coco":
		return "detections.coco.json"
	default:
		return "detections." + format
	}
}

// Writer writes to a stream that it closes, where the format has one.
type Writer struct {
	results.Writer
	out *files.Output // nil: files of the format's own
}

// Open starts results of a format: on stdout and, if dir isn't empty, in a file in
// it; YOLO's labels are files in dir alone. list asks json for an array, and the queries
// number classes and categories.
func Open(format string, stdout io.Writer, dir string, list bool, queries []string) (*Writer, error) {
	if format == "yolo" {
		w, err := results.NewYOLOWriter(dir, queries)
		if err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		return &Writer{Writer: w}, nil
	}
	out, err := files.Create(stdout, dir, fileName(format))
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	r := &Writer{out: out}
	switch format {
	case "json":
		r.Writer = results.NewJSONWriter(out, list)
	case "jsonl":
		r.Writer = results.NewJSONLWriter(out)
	case "coco":
		r.Writer, err = results.NewCOCOWriter(out, queries...)
	case "csv":
		r.Writer, err = results.NewCSVWriter(out)
	default:
		err = fmt.Errorf("no format %q", format)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return r, nil
}

// End gives the file its name, whatever became of the run.
func (r *Writer) End() error {
	if r.out == nil {
		return nil
	}
	if err := r.out.Close(); err != nil {
		return exit.Inputs(fmt.Errorf("write the results: %w", err))
	}
	return nil
}

package outcome

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/results"
)

// Formats are the values of --format.
var Formats = []string{"json", "jsonl", "coco", "coco-results", "csv", "yolo"}

// fileName returns the name of a format's file in --out.
func fileName(format string) string {
	switch format {
	case "coco", "coco-results":
		return "detections." + format + ".json"
	default:
		return "detections." + format
	}
}

// Writer is a results.Writer together with the file that it writes. The caller must call
// End in any case.
type Writer struct {
	results.Writer
	end     func() error // nil: YOLO, which writes its own files
	discard func()       // nil: a part of the results is worth keeping
}

// Free returns an error if dir has results of the format, which Open would replace.
func Free(format, dir string) error {
	name := fileName(format)
	if format == "yolo" {
		name = "classes.txt"
	}
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return fmt.Errorf("--out: %s is there already; --overwrite replaces it, or choose another --out", path)
	}
	return nil
}

// Open returns a Writer of the given format. It writes to stdout and, if dir isn't empty,
// to a file in dir. YOLO's labels are only written as files in dir, and mirror the folders
// below found.Root. found.List makes JSON an array. The places of the queries number
// YOLO's classes, and COCO's categories if categories is nil. Unless overwrite is set, a
// file that another process writes to dir meanwhile stays.
func Open(format string, stdout io.Writer, dir string, found intake.Found, overwrite bool, queries []string, categories []eval.Category) (*Writer, error) {
	if format == "yolo" {
		w, err := results.NewYOLOWriter(dir, found.Root, queries)
		if err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		return &Writer{Writer: w}, nil
	}
	create := files.Spare
	if overwrite {
		create = files.Create
	}
	out, err := create(stdout, dir, fileName(format))
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	w := &Writer{end: out.Close}
	switch format {
	case "json":
		w.Writer = results.NewJSONWriter(out, found.List)
	case "jsonl":
		w.Writer = results.NewJSONLWriter(out)
		if dir == "" {
			break
		}
		// What an earlier --resume says of its lines isn't true of these.
		if err = os.Remove(filepath.Join(dir, madeWithFile)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case "coco":
		w.Writer, err = results.NewCOCOWriter(out, queries, categories)
	case "coco-results":
		w.Writer, err = results.NewCOCOResultsWriter(out, queries, categories)
	case "csv":
		w.Writer, err = results.NewCSVWriter(out)
	default:
		err = fmt.Errorf("no format %q", format)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return w, nil
}

// Discard lets End remove the results of a shard. Other results stay.
func (w *Writer) Discard() {
	if w.discard != nil {
		w.discard()
	}
}

// End gives the file its name, even if the run failed. It removes the file if a write to
// it failed.
func (w *Writer) End() error {
	if w.end == nil {
		return nil
	}
	if err := w.end(); err != nil {
		return exit.Inputs(fmt.Errorf("write the results: %w", err))
	}
	return nil
}

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/clipdet/clipdet/pkg/detect"
)

// outcome is what came of one input: a result, or the error that took its place.
type outcome struct {
	path    string
	imageID int64 // of COCO
	result  *detect.Result
	err     error
}

// resultWriter writes outcomes in one format, each as it comes. close ends the document, also after an interruption, so
// that what was written can be read.
type resultWriter interface {
	write(outcome) error
	close() error
}

// resultFile names the file of a format in --out.
func resultFile(format string) string {
	switch format {
	case "coco":
		return "detections.coco.json"
	default:
		return "detections." + format
	}
}

// newResultWriter makes a writer of a format. list asks json for an array, and queries numbers coco's categories.
func newResultWriter(format string, w io.Writer, list bool, queries []string) (resultWriter, error) {
	switch format {
	case "json":
		return &jsonWriter{w: w, list: list}, nil
	case "jsonl":
		return &jsonlWriter{w: w}, nil
	case "coco":
		categories := map[string]int{}
		for i, name := range queries {
			categories[name] = i + 1
		}
		return &cocoWriter{w: w, categories: categories}, nil
	case "csv":
		c := &csvWriter{w: csv.NewWriter(w)}
		return c, c.row("image", "query", "x0", "y0", "x1", "y1", "score", "cosine", "probability", "objectness", "phrase", "runner_up")
	}
	return nil, fmt.Errorf("no format %q", format)
}

// object is the JSON object of one picture, each detection after the separator lead:
//
//	{"image", "width", "height", "proposals", "detections": [...], "timings_ms": {stage: ms}}
//
// or {"image", "error"} where the picture could not be done.
func (o outcome) object(lead string) ([]byte, error) {
	path, err := marshal(o.path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if o.err != nil {
		reason, err := marshal(o.err.Error())
		fmt.Fprintf(&b, `{"image":%s,"error":%s}`, path, reason)
		return b.Bytes(), err
	}
	r := o.result
	fmt.Fprintf(&b, `{"image":%s,"width":%d,"height":%d,"proposals":%d,"detections":[`, path, r.Width, r.Height, len(r.Proposals))
	for i, d := range r.Detections {
		detection, err := marshal(d)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(lead)
		b.Write(detection)
	}
	timings, err := marshal(r.Timings)
	fmt.Fprintf(&b, `],"timings_ms":%s}`, timings)
	return b.Bytes(), err
}

// marshal is JSON on one line that leaves <, > and & as they are, without the line's end.
func marshal(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

type jsonlWriter struct{ w io.Writer }

func (j *jsonlWriter) write(o outcome) error {
	object, err := o.object("")
	if err != nil {
		return err
	}
	_, err = j.w.Write(append(object, '\n'))
	return err
}

func (j *jsonlWriter) close() error { return nil }

// jsonWriter writes the object of a picture, or a list of them.
type jsonWriter struct {
	w       io.Writer
	list    bool
	written int
}

func (j *jsonWriter) write(o outcome) error {
	object, err := o.object("\n  ")
	if err != nil {
		return err
	}
	lead, end := "", "\n"
	if j.list {
		lead, end = "[\n", ""
		if j.written > 0 {
			lead = ",\n"
		}
	}
	j.written++
	_, err = fmt.Fprintf(j.w, "%s%s%s", lead, object, end)
	return err
}

func (j *jsonWriter) close() error {
	if !j.list {
		return nil
	}
	end := "\n]\n"
	if j.written == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(j.w, end)
	return err
}

// cocoWriter writes COCO's results format, a list of detections: cocodataset.org/#format-results.
type cocoWriter struct {
	w          io.Writer
	categories map[string]int
	written    int
}

type cocoResult struct {
	ImageID    int64      `json:"image_id"`
	CategoryID int        `json:"category_id"`
	BBox       [4]float32 `json:"bbox"` // x, y, width, height
	Score      float32    `json:"score"`
}

func (c *cocoWriter) write(o outcome) error {
	if o.err != nil {
		return nil // the format has no place for it
	}
	for _, d := range o.result.Detections {
		line, err := marshal(cocoResult{o.imageID, c.categories[d.Query], [4]float32{d.Box.X0, d.Box.Y0, d.Box.Width(), d.Box.Height()}, d.Score})
		if err != nil {
			return err
		}
		lead := "[\n"
		if c.written > 0 {
			lead = ",\n"
		}
		c.written++
		if _, err := fmt.Fprintf(c.w, "%s%s", lead, line); err != nil {
			return err
		}
	}
	return nil
}

func (c *cocoWriter) close() error {
	end := "\n]\n"
	if c.written == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(c.w, end)
	return err
}

type csvWriter struct{ w *csv.Writer }

func (c *csvWriter) row(cells ...string) error {
	if err := c.w.Write(cells); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

func (c *csvWriter) write(o outcome) error {
	if o.err != nil {
		return nil // a row is a detection; the error is on stderr
	}
	number := func(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }
	for _, d := range o.result.Detections {
		b := d.Box
		if err := c.row(o.path, d.Query, number(b.X0), number(b.Y0), number(b.X1), number(b.Y1),
			number(d.Score), number(d.Cosine), number(d.Probability), number(d.Objectness), d.Phrase, d.RunnerUp); err != nil {
			return err
		}
	}
	return nil
}

func (c *csvWriter) close() error { return nil }

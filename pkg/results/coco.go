package results

import (
	"fmt"
	"io"

	"github.com/clipdet/clipdet/pkg/eval"
)

// NewCOCOWriter returns a Writer of COCO results, a list of detections
// (cocodataset.org/#format-results). The numbers are float64, as eval.WriteResults writes
// them: those that clipdet eval evaluates. A record's ID is the image_id. A query's place
// among queries, from 1, is its category_id.
//
// It fails with ErrRecord if two queries are the same. The Writer fails with ErrRecord
// for a query that isn't among them.
func NewCOCOWriter(w io.Writer, queries ...string) (Writer, error) {
	c := &cocoWriter{w: w, categories: make(map[string]int64, len(queries))}
	for i, name := range queries {
		if _, ok := c.categories[name]; ok {
			return nil, fmt.Errorf("%w: two categories have the name %q", ErrRecord, name)
		}
		c.categories[name] = int64(i) + 1
	}
	return c, nil
}

type cocoWriter struct {
	w          io.Writer
	categories map[string]int64
	written    int
}

func (c *cocoWriter) Write(r Record) error {
	if r.Error != "" {
		return nil // the format has no place for it
	}
	if err := r.writable(); err != nil {
		return err
	}
	for _, d := range r.Detections {
		if _, ok := c.categories[d.Query]; !ok {
			return fmt.Errorf("%w: %q has the query %q, which is no category", ErrRecord, r.Image, d.Query)
		}
	}
	for _, d := range r.Detections {
		line, err := marshal(eval.Result{ImageID: r.ID, CategoryID: c.categories[d.Query], BBox: eval.FromBox(d.Box), Score: float64(d.Score)})
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

func (c *cocoWriter) Close() error { return closeList(c.w, c.written) }

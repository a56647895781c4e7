package results

import (
	"fmt"
	"io"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Categories numbers queries in their order, from 1, as the command does.
func Categories(queries ...string) map[int64]string {
	categories := make(map[int64]string, len(queries))
	for i, name := range queries {
		categories[int64(i)+1] = name
	}
	return categories
}

// NewCOCOWriter writes COCO's results to w, a list of detections
// (cocodataset.org/#format-results), in float64 as eval.WriteResults does: the numbers are
// exactly those that are evaluated. A record's ID is the image_id, and categories
// gives each query its category_id; [Categories] numbers them. It fails with ErrRecord
// where two categories have one name, and so does writing a query without one.
func NewCOCOWriter(w io.Writer, categories map[int64]string) (Writer, error) {
	c := &cocoWriter{w: w, categories: make(map[string]int64, len(categories))}
	for id, name := range categories {
		if _, ok := c.categories[name]; ok {
			return nil, fmt.Errorf("%w: two categories have the name %q", ErrRecord, name)
		}
		c.categories[name] = id
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

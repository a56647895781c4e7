package results

import (
	"encoding/csv"
	"io"
	"strconv"
)

// columns are the cells of a row, each a detection.
var columns = []string{"image", "query", "x0", "y0", "x1", "y1", "score", "cosine", "probability", "objectness", "phrase", "runner_up"}

// NewCSVWriter writes CSV to w (RFC 4180, but that lines end with \n): a row of names,
// at once, and then one for each detection.
func NewCSVWriter(w io.Writer) (Writer, error) {
	c := csvWriter{csv.NewWriter(w)}
	return c, c.rows(columns)
}

type csvWriter struct{ w *csv.Writer }

func (c csvWriter) rows(rows ...[]string) error {
	for _, row := range rows {
		if err := c.w.Write(row); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}

func (c csvWriter) Write(r Record) error {
	if r.Error != "" {
		return nil // a row is a detection
	}
	if err := r.writable(); err != nil {
		return err
	}
	number := func(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }
	var rows [][]string
	for _, d := range r.Detections {
		b := d.Box
		rows = append(rows, []string{r.Image, d.Query, number(b.X0), number(b.Y0), number(b.X1), number(b.Y1),
			number(d.Score), number(d.Cosine), number(d.Probability), number(d.Objectness), d.Phrase, d.RunnerUp})
	}
	return c.rows(rows...)
}

func (c csvWriter) Close() error { return nil }

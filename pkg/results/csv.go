package results

import (
	"encoding/csv"
	"io"
	"strconv"
)

// columns are the names of a row's cells.
var columns = []string{"image", "query", "x0", "y0", "x1", "y1", "score", "cosine", "probability", "objectness", "phrase", "runner_up"}

// NewCSVWriter writes a row of names to w and returns a Writer of CSV (RFC 4180, except
// that lines end with \n). Each detection is a row.
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
		return nil // the format has no place for it
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

package results

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// ReadCSV reads CSV as one record for each picture that has any detection, in the
// order of their first rows; what the rows don't have is zero. The columns may stand
// in any order and with others among them, and lines may end with \r\n.
//
// It fails with ErrFormat, which names the row (the one of names is 1), ErrLimit, or the
// reader's error.
func ReadCSV(r io.Reader, limits Limits) ([]Record, error) {
	limits = limits.orDefault()
	g := &guard{r: r, limits: limits}
	reader := csv.NewReader(&rows{guard: g})
	reader.ReuseRecord = true
	var place []int // of each of columns in a row
	pictures := gathered[string]{limits: limits}
	for n := 1; ; n++ {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) && n > 1 {
			return pictures.records, nil
		}
		switch {
		case err != nil:
			err = g.fail(err)
		case n == 1:
			place, err = places(row)
		default:
			var d detect.Detection
			var image string
			if image, d, err = parseRow(row, place); err == nil {
				err = pictures.add(image, Record{Image: image}, d)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
	}
}

// places finds the columns in the row of names.
func places(names []string) ([]int, error) {
	names[0] = strings.TrimPrefix(names[0], "\ufeff") // spreadsheets put a byte order mark there
	place := make([]int, len(columns))
	for i, column := range columns {
		place[i] = slices.Index(names, column)
		if place[i] < 0 || slices.Contains(names[place[i]+1:], column) {
			return nil, fmt.Errorf("%w: want one column %q in the row of names, got %q", ErrFormat, column, names)
		}
	}
	return place, nil
}

func parseRow(row []string, place []int) (string, detect.Detection, error) {
	cell := func(column int) string { return single(row[place[column]]) }
	var numbers [8]float32 // of columns 2 to 9
	for i := range numbers {
		v, err := strconv.ParseFloat(cell(i+2), 32)
		if err != nil {
			return "", detect.Detection{}, fmt.Errorf("%w: column %s: %w", ErrFormat, columns[i+2], err)
		}
		numbers[i] = float32(v)
	}
	return cell(0), detect.Detection{
		Query: cell(1),
		Box:   box.Box{X0: numbers[0], Y0: numbers[1], X1: numbers[2], Y1: numbers[3]},
		Score: numbers[4], Cosine: numbers[5], Probability: numbers[6], Objectness: numbers[7],
		Phrase: cell(10), RunnerUp: cell(11),
	}, nil
}

// rows passes CSV on, holds each row to Limits.Line, and doubles each \r within quotes,
// since encoding/csv takes \r\n for \n there, and a file's name may have either. single
// undoes it. Outside of quotes, \r must end a row.
type rows struct {
	*guard
	quoted  bool
	ending  bool // the last byte was \r, outside of quotes
	pending []byte
	failed  error
}

func (c *rows) Read(p []byte) (int, error) {
	if len(c.pending) == 0 && c.failed == nil {
		buffer := make([]byte, 4096)
		start := c.read
		n, err := c.guard.Read(buffer)
		c.failed = err
		for i, b := range buffer[:n] {
			if c.ending && b != '\n' {
				c.failed = fmt.Errorf("%w: a carriage return outside of quotes doesn't end a row", ErrFormat)
				break
			}
			c.pending = append(c.pending, b)
			c.ending = b == '\r' && !c.quoted
			switch {
			case b == '"':
				c.quoted = !c.quoted // twice for a doubled one
			case b == '\r' && c.quoted:
				c.pending = append(c.pending, b)
			case b == '\n' && !c.quoted:
				c.start = start + int64(i) + 1
			}
		}
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	if len(c.pending) > 0 {
		return n, nil
	}
	return n, c.failed
}

// single undoes the doubling in rows, of which encoding/csv has taken one \r before each
// \n.
func single(cell string) string {
	var b strings.Builder
	for len(cell) > 0 {
		rest := strings.TrimLeft(cell, "\r")
		run := len(cell) - len(rest)
		b.WriteString(cell[:(run+1)/2])
		next := strings.IndexByte(rest, '\r')
		if next < 0 {
			next = len(rest)
		}
		b.WriteString(rest[:next])
		cell = rest[next:]
	}
	return b.String()
}

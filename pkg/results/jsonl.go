package results

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
)

// NewJSONLWriter writes JSON Lines to w (jsonlines.org): native JSON, a picture a line.
// Each line is one call of w's Write, so that an interruption leaves whole lines and at
// most one half.
func NewJSONLWriter(w io.Writer) Writer { return jsonlWriter{w} }

type jsonlWriter struct{ w io.Writer }

func (j jsonlWriter) Write(r Record) error {
	object, err := r.object("")
	if err != nil {
		return err
	}
	_, err = j.w.Write(append(object, '\n'))
	return err
}

func (j jsonlWriter) Close() error { return nil }

// Line is a line of JSON Lines.
type Line struct {
	Record Record
	Number int   // from 1
	End    int64 // bytes from the start of the input to the end of the line
}

// ReadJSONL reads JSON Lines and yields them one at a time, each with the offset after
// it, from which an interrupted run may continue.
//
// A last line that has no end and isn't whole is what an interruption left: it counts
// as absent, and a last line that is whole counts though it has no end. Any other line
// that is no record, an empty one too, is ErrFormat. Reading ends with the first error,
// which names the line: ErrFormat, ErrLimit, or the reader's.
func ReadJSONL(r io.Reader, limits Limits) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		g := &guard{r: r, limits: limits.orDefault()}
		buffered := bufio.NewReader(g)
		for line := (Line{Number: 1}); ; line.Number++ {
			g.start = line.End
			data, end := buffered.ReadBytes('\n')
			if end != nil && !errors.Is(end, io.EOF) {
				yield(Line{}, fmt.Errorf("line %d: %w", line.Number, g.fail(end)))
				return
			}
			if len(data) == 0 {
				return
			}
			var err error
			line.Record, err = parse(data, g.limits)
			switch {
			case end != nil && errors.Is(err, ErrFormat):
				return
			case err != nil:
				yield(Line{}, fmt.Errorf("line %d: %w", line.Number, err))
				return
			}
			line.End += int64(len(data))
			if !yield(line, nil) {
				return
			}
		}
	}
}

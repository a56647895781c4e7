package results

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
)

// NewJSONLWriter returns a Writer of JSON Lines (jsonlines.org): native JSON, one picture
// a line. Each line is one call of w.Write, so that an interruption leaves whole lines
// and at most one partial line.
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

// Line is one line of JSON Lines.
type Line struct {
	Record Record
	End    int64 // bytes from the start of the input to the end of the line
}

// ReadJSONL reads JSON Lines and yields one line at a time. An interrupted run can
// continue at the End of the last one.
//
// An interruption leaves a last line that has no line end and is not a record; ReadJSONL
// ignores it. A last line that is a record counts even without a line end. Any other line
// that is not a record is ErrFormat, an empty line too. ReadJSONL ends at the first
// error, which names the line: ErrFormat, ErrLimit or an error of r.
func ReadJSONL(r io.Reader, limits Limits) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		g := &guard{r: r, limits: limits.orDefault()}
		buffered := bufio.NewReader(g)
		var line Line
		for number := 1; ; number++ {
			g.start = line.End
			data, end := buffered.ReadBytes('\n')
			if end != nil && !errors.Is(end, io.EOF) {
				yield(Line{}, fmt.Errorf("line %d: %w", number, g.fail(end)))
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
				yield(Line{}, fmt.Errorf("line %d: %w", number, err))
				return
			}
			line.End += int64(len(data))
			if !yield(line, nil) {
				return
			}
		}
	}
}

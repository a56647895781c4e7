package results

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Limits bounds what the readers accept. A field of 0 or less is its default.
type Limits struct {
	// Detections is the largest number of detections of one picture, 4 million by
	// default. They take about half a gigabyte. It also bounds a picture's Boxes and its
	// Given.
	Detections int
	// Line is the largest size of one JSON object or one line of JSON Lines in bytes, 64
	// MiB by default.
	Line int64
	// Bytes is the largest size of the whole input, 4 GiB by default. The memory doesn't
	// depend on it.
	Bytes int64
}

func (l Limits) orDefault() Limits {
	if l.Detections <= 0 {
		l.Detections = 4 << 20
	}
	if l.Line <= 0 {
		l.Line = 64 << 20
	}
	if l.Bytes <= 0 {
		l.Bytes = 4 << 30
	}
	// The readers add to both; sums must not overflow.
	l.Line, l.Bytes = min(l.Line, math.MaxInt64/4), min(l.Bytes, math.MaxInt64/4)
	return l
}

// check fails if n detections are too many.
func (l Limits) check(n int) error {
	if n > l.Detections {
		return fmt.Errorf("%w: there are more than %d detections (Limits.Detections)", ErrLimit, l.Detections)
	}
	return nil
}

// guard is a reader that fails with ErrLimit after Limits.Bytes bytes, or after more than
// Limits.Line bytes from start.
type guard struct {
	r      io.Reader
	limits Limits
	read   int64 // bytes so far
	start  int64 // of the current line or object
	err    error // ErrLimit, or an error of r other than io.EOF
}

func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.read-g.start > g.limits.Line {
		g.err = fmt.Errorf("%w: what starts at byte %d is longer than %d bytes (Limits.Line)", ErrLimit, g.start, g.limits.Line)
		return 0, g.err
	}
	// Reading one byte more tells an input of exactly the limit from a longer one.
	most := min(g.limits.Bytes-g.read, g.limits.Line-(g.read-g.start)) + 1
	n, err := g.r.Read(p[:min(int64(len(p)), most)])
	g.read += int64(n)
	switch {
	case g.read > g.limits.Bytes:
		g.err = fmt.Errorf("%w: the input is longer than %d bytes (Limits.Bytes)", ErrLimit, g.limits.Bytes)
		return 0, g.err
	case err != nil && !errors.Is(err, io.EOF):
		g.err = fmt.Errorf("read results: %w", err)
		return n, g.err
	}
	return n, err
}

// fail returns g's own error if it has one, and else ErrFormat that wraps err.
func (g *guard) fail(err error) error {
	switch {
	case g.err != nil:
		return g.err
	case errors.Is(err, ErrFormat) || errors.Is(err, ErrLimit):
		return err
	case errors.Is(err, io.EOF): // the decoder needs more
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

package results

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Limits bound what reading takes on. The zero Limits are the defaults, and so is
// each field that is 0 or less.
type Limits struct {
	// Detections is the most of one picture, which are held at a time. 4 million by
	// default, which take about half a gigabyte.
	Detections int
	// Line is the most bytes of one JSON object, or line of JSON Lines, 64 MiB by
	// default.
	Line int64
	// Bytes is the most bytes of the whole input, 4 GiB by default. A longer input
	// takes no more memory.
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
	l.Line, l.Bytes = min(l.Line, math.MaxInt64/4), min(l.Bytes, math.MaxInt64/4) // so that sums don't overflow
	return l
}

// check says whether n detections are too many.
func (l Limits) check(n int) error {
	if n > l.Detections {
		return fmt.Errorf("%w: there are more than %d detections (Limits.Detections)", ErrLimit, l.Detections)
	}
	return nil
}

// guard is a reader that ends with ErrLimit after Limits.Bytes, and where more than
// Limits.Line are asked for after the last start.
type guard struct {
	r      io.Reader
	limits Limits
	read   int64 // bytes so far
	start  int64 // of the line or object in hand
	err    error // of r, but for io.EOF, or ErrLimit
}

func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.read-g.start > g.limits.Line {
		g.err = fmt.Errorf("%w: what starts at byte %d is longer than %d bytes (Limits.Line)", ErrLimit, g.start, g.limits.Line)
		return 0, g.err
	}
	// One more byte than either limit tells what ends there from what goes on.
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

// fail is the error of reading on from g: the reader's own where there is one, or else
// ErrFormat with err as its reason.
func (g *guard) fail(err error) error {
	switch {
	case g.err != nil:
		return g.err
	case errors.Is(err, ErrFormat) || errors.Is(err, ErrLimit):
		return err
	case errors.Is(err, io.EOF): // a decoder's that wanted more
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

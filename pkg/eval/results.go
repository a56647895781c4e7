package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Result is one detection, or one proposal, in COCO's format of results.
type Result struct {
	ImageID    int64   `json:"image_id"`
	CategoryID int64   `json:"category_id"`
	BBox       BBox    `json:"bbox"`
	Score      float64 `json:"score"`
}

// ReadResults reads COCO's results JSON: a list of objects with image_id,
// category_id, bbox and score. It fails with ErrFormat, ErrTooLarge, ErrBBox or
// what r fails with; whether the ids are known is checked where results meet a
// Dataset.
func ReadResults(r io.Reader, limits Limits) ([]Result, error) {
	limits = limits.orDefault()
	in := newStream(r, limits.Bytes)
	results := []Result{}
	err := list(in, "result", limits.Items, func(from *resultJSON) error {
		b, err := references(from.ImageID, from.CategoryID, from.BBox)
		if err != nil {
			return err
		}
		if from.Score == nil {
			return missing("score")
		}
		results = append(results, Result{*from.ImageID, *from.CategoryID, b, *from.Score})
		return b.check()
	})
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

// ReadResultsFile is ReadResults of a file; errors begin with its path.
func ReadResultsFile(path string, limits Limits) ([]Result, error) {
	return fromFile(path, func(r io.Reader) ([]Result, error) { return ReadResults(r, limits) })
}

type resultJSON struct {
	ImageID    *int64     `json:"image_id"`
	CategoryID *int64     `json:"category_id"`
	BBox       []*float64 `json:"bbox"`
	Score      *float64   `json:"score"`
}

// WriteResults writes COCO's results JSON, a result per line, with the fewest
// digits that give the same numbers back. A number that isn't finite is ErrBBox
// or ErrNumber.
func WriteResults(w io.Writer, results []Result) error {
	out := bufio.NewWriter(w)
	before := "[\n"
	for i := range results {
		if err := results[i].check(); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		line, err := json.Marshal(results[i])
		if err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		if _, err := fmt.Fprintf(out, "%s%s", before, line); err != nil {
			return err
		}
		before = ",\n"
	}
	end := "\n]\n"
	if len(results) == 0 {
		end = "[]\n"
	}
	if _, err := out.WriteString(end); err != nil {
		return err
	}
	return out.Flush()
}

func (r *Result) check() error {
	if !finite(r.Score) {
		return fmt.Errorf("%w: the score is %v", ErrNumber, r.Score)
	}
	return r.BBox.check()
}

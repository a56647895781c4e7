package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Result is a detection or a proposal in COCO's format of results.
type Result struct {
	ImageID    int64   `json:"image_id"`
	CategoryID int64   `json:"category_id"`
	BBox       BBox    `json:"bbox"`
	Score      float64 `json:"score"`
}

// ReadResults reads COCO's results JSON, a list of objects with image_id, category_id,
// bbox and score, or the annotations of a data set, if they have the same. It fails with
// ErrFormat, ErrTooLarge or ErrBBox, or with an error of r. It doesn't check whether the
// ids are known; Evaluate does.
func ReadResults(r io.Reader, limits Limits) ([]Result, error) {
	limits = limits.orDefault()
	in := newStream(r, limits.Bytes)
	results := []Result{}
	add := func(from *resultJSON) error {
		b, err := references(from.ImageID, from.CategoryID, from.BBox)
		if err != nil {
			return err
		}
		if from.Score == nil {
			return missing("score")
		}
		results = append(results, Result{int64(*from.ImageID), int64(*from.CategoryID), b, *from.Score})
		return b.check()
	}
	start, err := in.json.Token()
	switch {
	case err != nil:
		return nil, in.wrong(err)
	case start == json.Delim('['):
		err = elements(in, "result", limits.Items, add)
		if err == nil {
			err = in.end()
		}
	case start == json.Delim('{'):
		err = annotated(in, limits.Items, add)
	default:
		return nil, fmt.Errorf("%w: it begins with %v, want a list of results or a data set", ErrFormat, start)
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

// annotated reads the results of a data set after its {.
func annotated(in *stream, most int, add func(*resultJSON) error) error {
	seen := false
	err := in.fields(func(key string) error {
		if key != "annotations" {
			return in.skip()
		}
		if seen {
			return fmt.Errorf("%w: %q occurs twice", ErrFormat, key)
		}
		seen = true
		return list(in, "annotation", most, add)
	})
	if err == nil && !seen {
		err = fmt.Errorf("%w: it begins with {, and has no list \"annotations\"", ErrFormat)
	}
	return err
}

// ReadResultsFile reads a file as ReadResults does. Its errors begin with the path.
func ReadResultsFile(path string, limits Limits) ([]Result, error) {
	return fromFile(path, func(r io.Reader) ([]Result, error) { return ReadResults(r, limits) })
}

type resultJSON struct {
	ImageID    *id        `json:"image_id"`
	CategoryID *id        `json:"category_id"`
	BBox       []*float64 `json:"bbox"`
	Score      *float64   `json:"score"`
}

// WriteResults writes COCO's results JSON, one result per line. Numbers have the fewest
// digits that give the same float64 back. A score that isn't finite is ErrNumber, and a
// bbox that [ReadResults] refuses is ErrBBox.
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

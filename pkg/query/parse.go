// Package query parses queries as people type them, and reads files of queries, templates
// and phrases. It needs no models. Its functions may be called at the same time.
package query

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// Query is a parsed query. Its Examples have no Image yet; their Names tell the file and
// the box.
type Query struct {
	detect.Query
	Files []string // the file of each Example, as typed
}

// Parse parses a query as it is typed: NAME, or NAME=PART|PART with one or more parts.
// The name ends at the first = and a part ends at each |. Neither can be escaped, but a
// detect.Query literal may contain both. Space around a name or part is removed, and a
// run of space within it becomes one space, except in file names. A _ in a phrase is a
// space; a name keeps it, and detect.Query reads it as one. A part is one of
//
//	a mug                  a phrase
//	a mug::2               a phrase of weight 2; the weight follows the last ::
//	-a glass               a negative phrase, which has no weight
//	@mug.png               an example: the picture in a file
//	@all.png#10,20,90,99   an example: the box of a picture by its left, top, right and
//	                       bottom edge in pixels; it may have a weight too
//	\-5 degrees            a phrase that begins with -; \@ and \\ begin one with @ and \
//
// A part with :: in its text needs a weight: "std::vector::1".
//
// Parse fails as detect.Query.Phrasings does. It fails with detect.ErrQuery if a weight
// is not a number above 0, if a box is malformed, or if there is a |, a leading @ or - or
// a weight but no name before it. It opens no file.
func Parse(s string) (Query, error) {
	name, list, described := strings.Cut(s, "=")
	if !described {
		if err := noPart(strings.TrimSpace(name)); err != nil {
			return Query{}, err
		}
	}
	q := Query{Query: detect.Query{Name: oneSpaced(name)}}
	if described {
		for part := range strings.SplitSeq(list, "|") {
			if err := q.add(strings.TrimSpace(part)); err != nil {
				return Query{}, fmt.Errorf("%w (in %.80q)", err, s)
			}
		}
	}
	if _, err := q.Phrasings(prompt.BareName()); err != nil {
		return Query{}, fmt.Errorf("%w (in %.80q)", err, s)
	}
	return q, nil
}

// noPart returns an error if what has no = before it is a part, or several, and no name.
func noPart(name string) error {
	_, _, weighted, err := cutWeight(name)
	switch {
	case strings.Contains(name, "|"):
		return fmt.Errorf("%w: %q has phrases but no name; put NAME= before them, or ask for each by its own --query", detect.ErrQuery, name)
	case strings.HasPrefix(name, "@"):
		return fmt.Errorf("%w: %q is an example but has no name; put NAME= before it", detect.ErrQuery, name)
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("%w: %q is a negative phrase but has no name; write NAME=PHRASE|%s", detect.ErrQuery, name, name)
	case weighted && err == nil:
		return fmt.Errorf("%w: %q has a weight, and phrases alone have; write NAME=%s", detect.ErrQuery, name, name)
	}
	return nil
}

// add parses a part of a query and adds it.
func (q *Query) add(part string) error {
	switch {
	case strings.HasPrefix(part, "-"):
		if strings.Contains(part, "::") {
			return fmt.Errorf("%w: %q is a negative phrase, and those have no weight", detect.ErrQuery, part)
		}
		if text := strings.TrimSpace(part[1:]); strings.HasPrefix(text, "@") {
			return fmt.Errorf("%w: %q is an example, and only phrases can be negative", detect.ErrQuery, part)
		}
		q.Negatives = append(q.Negatives, literal(part[1:]))
		return nil
	case strings.HasPrefix(part, "@"):
		file, example, err := parseExample(part)
		q.Files, q.Examples = append(q.Files, file), append(q.Examples, example)
		return err
	}
	text, weight, weighted, err := cutWeight(part)
	if err != nil {
		return err
	}
	if weighted && q.Weights == nil {
		q.Weights = ones(len(q.Phrases))
	}
	if q.Weights != nil {
		q.Weights = append(q.Weights, weight)
	}
	q.Phrases = append(q.Phrases, literal(text))
	return nil
}

func ones(n int) []float32 {
	weights := make([]float32, n, n+1)
	for i := range weights {
		weights[i] = 1
	}
	return weights
}

// parseExample parses @FILE and @FILE#x0,y0,x1,y1. What follows the last # is a box only
// if it contains a comma, so that a file name may contain a #.
func parseExample(part string) (file string, e detect.Example, err error) {
	path, weight, weighted, err := cutWeight(part[1:])
	if err != nil {
		return "", e, err
	}
	if weighted {
		e.Weight = weight
	}
	file = strings.TrimSpace(path)
	if at := strings.LastIndexByte(path, '#'); at >= 0 && strings.Contains(path[at:], ",") {
		file = strings.TrimSpace(path[:at])
		if e.Box, err = parseBox(path[at+1:]); err != nil {
			return "", e, fmt.Errorf("%w in %q", err, part)
		}
	}
	if file == "" || strings.ContainsRune(file, 0) {
		return "", e, fmt.Errorf("%w: an example is @FILE or @FILE#x0,y0,x1,y1, and %q names no file", detect.ErrQuery, part)
	}
	if e.Name = file; e.Box != nil {
		e.Name = fmt.Sprintf("%s#%v,%v,%v,%v", file, e.Box.X0, e.Box.Y0, e.Box.X1, e.Box.Y1)
	}
	return file, e, nil
}

func parseBox(text string) (*box.Box, error) {
	numbers := strings.Split(text, ",")
	if len(numbers) != 4 {
		return nil, fmt.Errorf("%w: a box is x0,y0,x1,y1, and there are %d numbers", detect.ErrQuery, len(numbers))
	}
	var edges [4]float32
	for i, number := range numbers {
		edge, err := strconv.ParseFloat(strings.TrimSpace(number), 32)
		if err != nil {
			return nil, fmt.Errorf("%w: a box is x0,y0,x1,y1, and %q is no number", detect.ErrQuery, number)
		}
		edges[i] = float32(edge)
	}
	return &box.Box{X0: edges[0], Y0: edges[1], X1: edges[2], Y1: edges[3]}, nil
}

// cutWeight splits a part at its last :: into text and weight. Without a :: the weight is
// 1.
func cutWeight(part string) (text string, weight float32, weighted bool, err error) {
	at := strings.LastIndex(part, "::")
	if at < 0 {
		return part, 1, false, nil
	}
	number := strings.TrimSpace(part[at+2:])
	value, err := strconv.ParseFloat(number, 32)
	if weight = float32(value); err != nil || !(weight > 0 && weight <= math.MaxFloat32) {
		return "", 0, false, fmt.Errorf("%w: in %q the weight after :: is %q, not a number above 0", detect.ErrQuery, part, number)
	}
	return part[:at], weight, true, nil
}

// literal returns the text of a phrase. It removes a backslash that escapes a leading @,
// - or backslash, and reads each _ as a space.
func literal(text string) string {
	text = oneSpaced(strings.ReplaceAll(text, "_", " "))
	for _, escaped := range [...]string{`\@`, `\-`, `\\`} {
		if strings.HasPrefix(text, escaped) {
			return text[1:]
		}
	}
	return text
}

// oneSpaced returns text with each run of space replaced by one space, and none at its
// ends.
func oneSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

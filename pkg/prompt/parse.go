package prompt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/box"
)

// ParseQuery reads a query as it is typed: NAME, or NAME=PART|PART with one or more
// parts. The name ends at the first =, a part at each |, and neither can be escaped,
// but a Query literal may have both. Space around a name or part is removed, and a run
// of space within becomes one space, but for the names of files. A part is
//
//	a mug                  a phrase
//	a mug::2               a phrase of weight 2; the weight follows the last ::
//	-a glass               a negative phrase, which has no weight
//	@mug.png               an example: the picture in a file, as it was typed
//	@all.png#10,20,90,99   an example: the box of a picture by its left, top, right and
//	                       bottom edge in pixels; it may have a weight too
//	\-5 degrees            a phrase that begins with -; \@ and \\ begin one with @ and \
//
// A part with :: in its text needs a weight: "std::vector::1".
//
// It fails with ErrUTF8, and with ErrQuery if the name or a phrase is empty, has
// a control character or a {} (only templates have those), if a weight is no number
// above 0 or a box no box, or if there is a | or a leading @ but no name before it. It
// looks at no file.
func ParseQuery(s string) (Query, error) {
	name, list, described := strings.Cut(s, "=")
	switch {
	case !described && strings.Contains(name, "|"):
		return Query{}, fmt.Errorf("%w: %q has phrases but no name; put NAME= before them", ErrQuery, s)
	case !described && strings.HasPrefix(strings.TrimSpace(name), "@"):
		return Query{}, fmt.Errorf("%w: %q is an example but has no name; put NAME= before it", ErrQuery, s)
	}
	q := Query{Name: oneSpaced(name)}
	if described {
		for part := range strings.SplitSeq(list, "|") {
			if err := q.add(strings.TrimSpace(part)); err != nil {
				return Query{}, fmt.Errorf("%w (in %.80q)", err, s)
			}
		}
	}
	if err := q.check(); err != nil {
		return Query{}, fmt.Errorf("%w (in %.80q)", err, s)
	}
	return q, nil
}

// add reads a part of a query.
func (q *Query) add(part string) error {
	switch {
	case strings.HasPrefix(part, "-"):
		if strings.Contains(part, "::") {
			return fmt.Errorf("%w: %q is a negative phrase, and those have no weight", ErrQuery, part)
		}
		if text := strings.TrimSpace(part[1:]); strings.HasPrefix(text, "@") {
			return fmt.Errorf("%w: %q is an example, and only phrases can be negative", ErrQuery, part)
		}
		q.Negatives = append(q.Negatives, literal(part[1:]))
		return nil
	case strings.HasPrefix(part, "@"):
		example, err := parseExample(part)
		q.Examples = append(q.Examples, example)
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

// parseExample reads @FILE and @FILE#x0,y0,x1,y1. What follows the last # is a box where
// it has a comma, so that a file's name may have a #.
func parseExample(part string) (Example, error) {
	path, weight, weighted, err := cutWeight(part[1:])
	if err != nil {
		return Example{}, err
	}
	e := Example{Path: strings.TrimSpace(path)}
	if weighted {
		e.Weight = weight
	}
	at := strings.LastIndexByte(path, '#')
	if at < 0 || !strings.Contains(path[at:], ",") {
		return e, nil
	}
	e.Path = strings.TrimSpace(path[:at])
	numbers := strings.Split(path[at+1:], ",")
	if len(numbers) != 4 {
		return e, fmt.Errorf("%w: a box is x0,y0,x1,y1, and %q has %d numbers", ErrQuery, part, len(numbers))
	}
	var edges [4]float32
	for i, number := range numbers {
		edge, err := strconv.ParseFloat(strings.TrimSpace(number), 32)
		if err != nil {
			return e, fmt.Errorf("%w: a box is x0,y0,x1,y1, and in %q %q is no number", ErrQuery, part, number)
		}
		edges[i] = float32(edge)
	}
	e.Box = &box.Box{X0: edges[0], Y0: edges[1], X1: edges[2], Y1: edges[3]}
	return e, nil
}

// cutWeight takes the weight after the last :: off a part; without one it is 1.
func cutWeight(part string) (text string, weight float32, weighted bool, err error) {
	at := strings.LastIndex(part, "::")
	if at < 0 {
		return part, 1, false, nil
	}
	number := strings.TrimSpace(part[at+2:])
	value, err := strconv.ParseFloat(number, 32)
	if weight = float32(value); err != nil || !usable(weight) {
		return "", 0, false, fmt.Errorf("%w: in %q the weight after :: is %q, not a number above 0", ErrQuery, part, number)
	}
	return part[:at], weight, true, nil
}

// literal is the text of a phrase, without the backslash before a first character that
// would otherwise mean something.
func literal(text string) string {
	text = oneSpaced(text)
	for _, escaped := range [...]string{`\@`, `\-`, `\\`} {
		if strings.HasPrefix(text, escaped) {
			return text[1:]
		}
	}
	return text
}

// oneSpaced has the words of text with one space in between.
func oneSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

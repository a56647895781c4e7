package prompt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/clipdet/clipdet/pkg/box"
)

// ErrQuery is what a query without a usable name or phrase fails with.
var ErrQuery = errors.New("a query is NAME or NAME=PHRASE|PHRASE")

// Query is one thing to look for.
type Query struct {
	// Name is what detections are labelled with.
	Name string
	// Phrases describe the thing, each taken as it is. If there are neither phrases nor
	// examples, Name is filled into the templates instead.
	Phrases []string
	// Weights are those of the phrases in the mean, each above 0, which count by their
	// ratios; nil is 1 each.
	Weights []float32
	// Negatives describe what the thing is not, each taken as it is.
	Negatives []string
	// Examples show the thing.
	Examples []Example
}

// Example is a picture of a thing, by the file that has it.
type Example struct {
	// Path is of the file, as it was typed.
	Path string
	// Box is where in the picture the thing is, in pixels, as edges; nil is all of it.
	Box *box.Box
	// Weight is that in the mean, above 0; 0 is 1.
	Weight float32
}

// String is e as a query has it, without the weight: @PATH, or @PATH#x0,y0,x1,y1.
func (e Example) String() string {
	if e.Box == nil {
		return "@" + e.Path
	}
	return fmt.Sprintf("@%s#%v,%v,%v,%v", e.Path, e.Box.X0, e.Box.Y0, e.Box.X1, e.Box.Y1)
}

// Phrasings are the texts whose embeddings are averaged for q: its phrases, or
// its name filled into the templates, or none where there are examples alone. It
// fails with ErrUTF8 and ErrQuery as [ParseQuery] does for texts and weights that
// can't be used, and as [Fill] does.
func (q Query) Phrasings(templates []string) ([]string, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if len(q.Phrases) > 0 || len(q.Examples) > 0 {
		return slices.Clone(q.Phrases), nil
	}
	return Fill(q.Name, templates)
}

func (q Query) check() error {
	if err := checkText(ErrQuery, "name", q.Name); err != nil {
		return err
	}
	for i, phrase := range q.Phrases {
		if err := checkText(ErrQuery, fmt.Sprintf("phrase %d", i+1), phrase); err != nil {
			return err
		}
	}
	if len(q.Weights) > 0 && len(q.Weights) != len(q.Phrases) {
		return fmt.Errorf("%w: %d weights for %d phrases", ErrQuery, len(q.Weights), len(q.Phrases))
	}
	for i, weight := range q.Weights {
		if !usable(weight) {
			return fmt.Errorf("%w: the weight of phrase %d is %v, not a number above 0", ErrQuery, i+1, weight)
		}
	}
	for i, negative := range q.Negatives {
		if err := checkText(ErrQuery, fmt.Sprintf("negative phrase %d", i+1), negative); err != nil {
			return err
		}
	}
	for _, e := range q.Examples {
		switch {
		case e.Path == "" || strings.ContainsRune(e.Path, 0):
			return fmt.Errorf("%w: an example is @FILE or @FILE#x0,y0,x1,y1, and %q names no file", ErrQuery, e)
		case e.Box != nil && (!e.Box.Valid() || e.Box.Empty()):
			return fmt.Errorf("%w: the box of %q has no inside; write left, top, right and bottom edge", ErrQuery, e)
		case e.Weight != 0 && !usable(e.Weight):
			return fmt.Errorf("%w: the weight of %q is %v, not a number above 0", ErrQuery, e, e.Weight)
		}
	}
	return nil
}

// usable says whether a weight is finite and above 0.
func usable(weight float32) bool { return weight > 0 && weight <= math.MaxFloat32 }

// checkText fails for text that would silently become another text, or none, on
// its way to the tokens. The error wraps kind.
func checkText(kind error, what, text string) error {
	if len(text) > maxBytes { // before cleaning, which costs as much as all of the text
		return fmt.Errorf("%w: %s has %d bytes, starting with %.40q", ErrTooLong, what, len(text), text)
	}
	if err := checkUTF8(what, text); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%w: %s %q has a control character", kind, what, text)
	case strings.Contains(text, slot):
		return fmt.Errorf("%w: %s %q has a {}, which only templates have", kind, what, text)
	case clean(text) == "":
		return fmt.Errorf("%w: %s is empty", kind, what)
	}
	return nil
}

package prompt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// ErrQuery is what a query without a usable name or phrase fails with.
var ErrQuery = errors.New("a query is NAME or NAME=PHRASE|PHRASE")

// Query is one thing to look for.
type Query struct {
	// Name is what detections are labelled with.
	Name string
	// Phrases describe the thing, each taken as it is. If there are none, Name
	// is filled into the templates instead.
	Phrases []string
}

// ParseQuery reads a query as it is typed: NAME, or NAME=PHRASE|PHRASE with one
// or more phrases. The name ends at the first =, a phrase at each |, and
// neither can be escaped, but a Query literal may have both. Space around a name or
// phrase is removed, and a run of space within becomes one space.
//
// It fails with ErrUTF8, with ErrTooLong for a name or phrase of more than 4,096
// bytes, and with ErrQuery if the name or a phrase is empty, has
// a control character or a {} (only templates have those), or if there is a |
// but no name before it.
func ParseQuery(s string) (Query, error) {
	name, list, described := strings.Cut(s, "=")
	if !described && strings.Contains(name, "|") {
		return Query{}, fmt.Errorf("%w: %.80q has phrases but no name; put NAME= before them", ErrQuery, s)
	}
	q := Query{Name: oneSpaced(name)}
	if described {
		for phrase := range strings.SplitSeq(list, "|") {
			q.Phrases = append(q.Phrases, oneSpaced(phrase))
		}
	}
	if err := q.check(); err != nil {
		return Query{}, fmt.Errorf("%w (in %.80q)", err, s)
	}
	return q, nil
}

// Phrasings are the texts whose embeddings are averaged for q: its phrases, or
// its name filled into the templates. It fails as [ParseQuery] does for a name
// or phrase that is empty or has a control character or {}, and as [Fill] does.
func (q Query) Phrasings(templates []string) ([]string, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if len(q.Phrases) > 0 {
		return slices.Clone(q.Phrases), nil
	}
	return Fill(q.Name, templates)
}

func (q Query) check() error {
	if err := checkText("name", q.Name); err != nil {
		return err
	}
	for i, phrase := range q.Phrases {
		if err := checkText(fmt.Sprintf("phrase %d", i+1), phrase); err != nil {
			return err
		}
	}
	return nil
}

// checkText fails for text that would silently become another text, or none, on
// its way to the tokens.
func checkText(what, text string) error {
	if len(text) > maxBytes { // before cleaning, whose time grows with the square of nested &amp;amp;
		return fmt.Errorf("%w: %s has %d bytes, starting with %.40q", ErrTooLong, what, len(text), text)
	}
	if err := checkUTF8(what, text); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%w: %s %q has a control character", ErrQuery, what, text)
	case strings.Contains(text, slot):
		return fmt.Errorf("%w: %s %q has a {}, which only templates have", ErrQuery, what, text)
	case clean(text) == "":
		return fmt.Errorf("%w: %s is empty", ErrQuery, what)
	}
	return nil
}

// oneSpaced has the words of text with one space in between.
func oneSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

package query

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

const (
	// mostJSONBytes is more than the annotations of any public data set.
	mostJSONBytes = 4 << 30
	// mostQueryBytes is the size of a file with a line for each query.
	mostQueryBytes = 16 << 20
)

// ReadQueries reads a file of at most most queries. It is one of
//
//	lines    each as Parse takes it; empty lines, lines that begin with # and byte order
//	         marks are skipped
//	a list   JSON: of strings, each as Parse takes it, or of objects with a name
//	COCO     a JSON object with categories, of which each is such an object
//
// The name of an object is taken as it is. Categories that only group others are left
// out. Everything else in the JSON is skipped, and takes no memory. ReadQueries fails with
// detect.ErrQuery, prompt.ErrUTF8 or prompt.ErrTooLong and names the line or place, with
// detect.ErrLimit for more than most queries, 16 MiB of lines or 4 GiB of JSON, or with
// the error of r.
func ReadQueries(r io.Reader, most int) ([]Query, error) {
	buffered := bufio.NewReader(r)
	for {
		next, _, err := buffered.ReadRune()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err == nil && blank(next) {
			continue
		}
		if err == nil {
			_ = buffered.UnreadRune() // it follows ReadRune
		}
		if next == '{' || next == '[' {
			return readJSON(&bounded{buffered, mostJSONBytes, mostJSONBytes}, next == '[', most)
		}
		break
	}
	var queries []Query
	err := readLines(buffered, limits{mostQueryBytes, most}, detect.ErrQuery, func(line string) error {
		if strings.HasPrefix(line, "names:") { // as YOLO's data.yaml has it
			return fmt.Errorf("%w: this is YAML, which isn't read; write a name a line, or a JSON list", detect.ErrQuery)
		}
		q, err := Parse(line)
		queries = append(queries, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return queries, nil
}

// readJSON reads the queries of a JSON document, which is a list or an object.
func readJSON(r *bounded, list bool, most int) ([]Query, error) {
	d := json.NewDecoder(r)
	d.UseNumber() // what is skipped may be a number that is none of float64's
	var queries []Query
	var err error
	if list {
		if queries, err = readList(d, most); err == nil {
			err = atEnd(d)
		}
	} else {
		queries, err = readCategories(d, most)
	}
	var syntax *json.SyntaxError
	switch {
	case r.left < 0:
		return nil, r.tooLong()
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it begins as JSON and isn't: %w", detect.ErrQuery, err)
	case err == nil && len(queries) == 0:
		return nil, fmt.Errorf("%w: there is none; write a name a line, a JSON list, or COCO's categories", detect.ErrQuery)
	case err != nil:
		return nil, err
	}
	return queries, nil
}

// atEnd fails if more than white space follows a list.
func atEnd(d *json.Decoder) error {
	_, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: there is more after the list", detect.ErrQuery)
}

// readCategories reads the list at the key categories of an object.
func readCategories(d *json.Decoder, most int) ([]Query, error) {
	if _, err := d.Token(); err != nil { // the {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key == "categories" {
			return readList(d, most)
		}
		if err := skip(d); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return nil, err
}

// skip reads the next value and keeps none of it.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func readList(d *json.Decoder, most int) ([]Query, error) {
	start, err := d.Token()
	if err != nil {
		return nil, err
	}
	if start != json.Delim('[') {
		return nil, fmt.Errorf("%w: its categories are no list", detect.ErrQuery)
	}
	var found []element
	for d.More() {
		if len(found) == most {
			return nil, fmt.Errorf("%w: more than %d names", detect.ErrLimit, most)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		e, err := parseElement(raw)
		if err != nil {
			return nil, fmt.Errorf("name %d: %w", len(found)+1, err)
		}
		found = append(found, e)
	}
	found, _ = noGroups(found, func(e element) string { return e.name }, func(e element) string { return e.super })
	queries := make([]Query, len(found))
	for i, e := range found {
		queries[i] = e.Query
	}
	_, err = d.Token()
	return queries, err
}

// element is an element of a list. The names are empty if it is a string.
type element struct {
	Query
	name, super string
}

func parseElement(raw json.RawMessage) (element, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && !bytes.Equal(raw, []byte("null")) {
		q, err := Parse(text)
		return element{Query: q}, err
	}
	var category struct {
		Name    *string         `json:"name"`
		Super   any             `json:"supercategory"`
		Phrases json.RawMessage `json:"phrases"`
	}
	if err := json.Unmarshal(raw, &category); err != nil || category.Name == nil {
		return element{}, fmt.Errorf("%w: %.80s is neither a string nor an object with a name", detect.ErrQuery, raw)
	}
	if category.Phrases != nil {
		return element{}, fmt.Errorf("%w: the phrases of %q would be lost; write a string in place of the object, as in \"cat=a cat|a kitten\"", detect.ErrQuery, *category.Name)
	}
	super, _ := category.Super.(string)
	q := Query{Query: detect.Query{Name: oneSpaced(*category.Name)}}
	_, err := q.Phrasings(prompt.BareName())
	return element{q, *category.Name, super}, err
}

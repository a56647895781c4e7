package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"unicode/utf8"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// plain is a Record without its methods.
type plain Record

// MarshalJSON returns the native JSON of a picture, on one line:
//
//	{"image", "width", "height", "proposals", "detections": [...],
//	 "timings_ms": {stage: ms}}
//
// If the picture failed, it returns {"image", "error"}. MarshalJSON fails with ErrRecord.
func (r Record) MarshalJSON() ([]byte, error) { return r.object("") }

// object returns the native JSON with lead before each detection.
func (r Record) object(lead string) ([]byte, error) {
	if err := r.writable(); err != nil {
		return nil, err
	}
	if r.Error != "" {
		return marshal(struct {
			Image string `json:"image"`
			Error string `json:"error"`
		}{r.Image, r.Error})
	}
	detections := r.Detections
	r.Detections = []detect.Detection{}
	whole, err := marshal(plain(r))
	if err != nil {
		return nil, err
	}
	// A quote in a JSON string follows a backslash, never a comma. So field is found only
	// at the field itself.
	field := []byte(`,"detections":[`)
	head, tail, _ := bytes.Cut(whole, field)
	var b bytes.Buffer
	b.Write(head)
	b.Write(field)
	for i, d := range detections {
		detection, err := marshal(d)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(lead)
		b.Write(detection)
	}
	b.Write(tail)
	return b.Bytes(), nil
}

// marshal returns JSON on one line, without a line end, in which <, > and & are not
// escaped.
func marshal(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON reads the native JSON of a picture. It ignores unknown fields, and
// requires those that schema.json requires of a picture and of a detection; a stage that
// timings_ms lacks is 0. It fails with ErrFormat, or with ErrLimit for more than the
// default Limits allow. If it fails, it leaves r unchanged.
func (r *Record) UnmarshalJSON(data []byte) error {
	record, err := parse(data, Limits{}.orDefault())
	if err == nil {
		*r = record
	}
	return err
}

func parse(data []byte, limits Limits) (Record, error) {
	if !utf8.Valid(data) {
		return Record{}, fmt.Errorf("%w: it is not UTF-8", ErrFormat)
	}
	var o struct { // these fields hide those of plain
		plain
		Image      *string         `json:"image"`
		Width      *int            `json:"width"`
		Height     *int            `json:"height"`
		Proposals  *int            `json:"proposals"`
		Detections json.RawMessage `json:"detections"`
		Timings    *detect.Timings `json:"timings_ms"`
		Boxes      [][]*float32    `json:"boxes"` // a fixed array would take any length
		Given      json.RawMessage `json:"given"`
		Error      *string         `json:"error"`
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case o.Image == nil:
		return Record{}, missing("image")
	case o.Error != nil && (*o.Error == "" || o.Width != nil || o.Height != nil || o.Detections != nil):
		return Record{}, fmt.Errorf("%w: %q has an error without a text, or with results", ErrFormat, *o.Image)
	case o.Error != nil:
		return Record{Image: *o.Image, Error: *o.Error}, nil
	case o.Width == nil:
		return Record{}, missing("width")
	case o.Height == nil:
		return Record{}, missing("height")
	case o.Proposals == nil:
		return Record{}, missing("proposals")
	case o.Timings == nil:
		return Record{}, missing("timings_ms")
	}
	r := Record(o.plain)
	r.Image, r.Width, r.Height, r.Proposals, r.Timings = *o.Image, *o.Width, *o.Height, *o.Proposals, *o.Timings
	var err error
	if r.Detections, err = parseDetections(o.Detections, limits); err != nil {
		return Record{}, err
	}
	if len(o.Given) > 0 {
		if r.Given, err = parseDetections(o.Given, limits); err != nil {
			return Record{}, err
		}
	}
	if r.Boxes, err = parseCandidates(o.Boxes, limits); err != nil {
		return Record{}, err
	}
	if err := r.check(); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return r, nil
}

// parseDetections decodes one element at a time, so that a list over the limit fails
// before it takes its memory.
func parseDetections(list json.RawMessage, limits Limits) ([]detect.Detection, error) {
	if !bytes.HasPrefix(list, []byte("[")) {
		return nil, missing("detections")
	}
	decoder := json.NewDecoder(bytes.NewReader(list))
	if _, err := decoder.Token(); err != nil { // the [
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var detections []detect.Detection
	for decoder.More() {
		if err := limits.check(len(detections) + 1); err != nil {
			return nil, err
		}
		var d struct {
			detect.Detection
			Query       *string  `json:"query"`
			Box         *box.Box `json:"box"`
			Score       *float32 `json:"score"`
			Cosine      *float32 `json:"cosine"`
			Probability *float32 `json:"probability"`
			Objectness  *float32 `json:"objectness"`
			Phrase      *string  `json:"phrase"`
			RunnerUp    *string  `json:"runner_up"`
		}
		if err := decoder.Decode(&d); err != nil {
			return nil, fmt.Errorf("%w: detection %d: %w", ErrFormat, len(detections)+1, err)
		}
		if d.Query == nil || d.Box == nil || d.Score == nil || d.Cosine == nil || d.Probability == nil || d.Objectness == nil ||
			d.Phrase == nil || d.RunnerUp == nil {
			return nil, fmt.Errorf("%w: detection %d lacks one of query, box, score, cosine, probability, objectness, phrase and runner_up",
				ErrFormat, len(detections)+1)
		}
		full := d.Detection
		full.Query, full.Box, full.Phrase, full.RunnerUp = *d.Query, *d.Box, *d.Phrase, *d.RunnerUp
		full.Score, full.Cosine, full.Probability, full.Objectness = *d.Score, *d.Cosine, *d.Probability, *d.Objectness
		detections = append(detections, full)
	}
	return detections, nil
}

func parseCandidates(list [][]*float32, limits Limits) ([][5]float32, error) {
	if err := limits.check(len(list)); err != nil {
		return nil, err
	}
	var candidates [][5]float32
	for i, numbers := range list {
		if len(numbers) != 5 || slices.Contains(numbers, nil) {
			return nil, fmt.Errorf("%w: candidate %d is not [x0, y0, x1, y1, objectness]", ErrFormat, i+1)
		}
		var c [5]float32
		for k, v := range numbers {
			c[k] = *v
		}
		candidates = append(candidates, c)
	}
	return candidates, nil
}

func missing(field string) error {
	return fmt.Errorf("%w: a picture's object has no %s of the right kind", ErrFormat, field)
}

// NewJSONWriter returns a Writer of native JSON: the object of one picture or, if list is
// set, a list of objects. Each record is written at once, and each detection on a line.
func NewJSONWriter(w io.Writer, list bool) Writer { return &jsonWriter{w: w, list: list} }

type jsonWriter struct {
	w       io.Writer
	list    bool
	written int
}

func (j *jsonWriter) Write(r Record) error {
	object, err := r.object("\n  ")
	if err != nil {
		return err
	}
	lead, end := "", "\n"
	switch {
	case j.list && j.written == 0:
		lead, end = "[\n", ""
	case j.list:
		lead, end = ",\n", ""
	case j.written > 0:
		return fmt.Errorf("%w: %q comes after the one picture of an object; write a list", ErrRecord, r.Image)
	}
	j.written++
	_, err = fmt.Fprintf(j.w, "%s%s%s", lead, object, end)
	return err
}

func (j *jsonWriter) Close() error {
	if !j.list {
		return nil
	}
	return closeList(j.w, j.written)
}

func closeList(w io.Writer, written int) error {
	end := "\n]\n"
	if written == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// ReadJSON reads native JSON, an object or a list, and yields one record at a time. It
// ends at the first error: ErrFormat, ErrLimit or an error of r.
func ReadJSON(r io.Reader, limits Limits) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		n := 0
		for object, err := range elements(r, limits) {
			n++
			var record Record
			if err == nil {
				record, err = parse(object, limits.orDefault())
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("picture %d: %w", n, err))
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// elements yields the elements of a list of JSON objects, or a single object.
func elements(r io.Reader, limits Limits) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		g := &guard{r: r, limits: limits.orDefault()}
		first, buffered, err := firstByte(g)
		if err != nil {
			yield(nil, g.fail(err))
			return
		}
		// The decoder doesn't see the white space before the first byte.
		skipped := g.read - int64(buffered.Buffered())
		decoder := json.NewDecoder(buffered)
		list := first == '['
		switch {
		case list:
			if _, err := decoder.Token(); err != nil {
				yield(nil, g.fail(err))
				return
			}
		case first != '{':
			yield(nil, fmt.Errorf("%w: it starts with %q, not with a list of objects", ErrFormat, first))
			return
		}
		for {
			g.start = skipped + decoder.InputOffset()
			if list && !decoder.More() {
				break
			}
			var element json.RawMessage
			if err := decoder.Decode(&element); err != nil {
				yield(nil, g.fail(err))
				return
			}
			if !yield(element, nil) {
				return
			}
			if !list {
				break
			}
		}
		g.start = g.read
		if list {
			if _, err := decoder.Token(); err != nil { // the ]
				yield(nil, g.fail(err))
				return
			}
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			yield(nil, g.fail(errors.Join(errors.New("there is more after the end"), err)))
		}
	}
}

// firstByte returns the first byte that is not white space. The reader starts with it.
func firstByte(g *guard) (byte, *bufio.Reader, error) {
	buffered := bufio.NewReader(g)
	for {
		next, err := buffered.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		switch next {
		case ' ', '\t', '\r', '\n':
			g.start = g.read - int64(buffered.Buffered())
			continue
		}
		return next, buffered, buffered.UnreadByte()
	}
}

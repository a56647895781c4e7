package eval

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

// Limits bounds what the readers accept. The zero Limits are the defaults, which fit
// COCO, LVIS and Objects365's validation set.
type Limits struct {
	// Bytes is the largest size of the JSON, 4 GiB if 0 or less. Segments and other
	// fields that no metric needs are not kept in memory.
	Bytes int64
	// Items is the largest number of images, of annotations, of categories and of
	// results, 50 million if 0 or less. Each takes about 100 bytes of memory.
	Items int
}

func (l Limits) orDefault() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 4 << 30
	}
	if l.Items <= 0 {
		l.Items = 50e6
	}
	l.Bytes = min(l.Bytes, math.MaxInt64-1) // bounded adds 1
	return l
}

// ReadDataset reads COCO's instances JSON or LVIS's, an object with images, annotations
// and categories. A missing area is the area of the box, and a missing iscrowd is 0.
// Other fields are ignored, even if they hold NaN. An id may be written as 1, 1.0 or "1".
// A byte order mark is skipped, and UTF-16 with one is read. Annotations of an image or a
// category that isn't in the data set are left out, as pycocotools leaves them out;
// [Dataset.Warnings] counts them.
//
// The data set passes [Dataset.Check]. ReadDataset fails with the errors of Check, with
// ErrFormat or ErrTooLarge, or with an error of r.
func ReadDataset(r io.Reader, limits Limits) (*Dataset, error) {
	return readDataset(r, limits, true)
}

// ReadImages reads the images and categories of a data set as ReadDataset does. It skips
// the annotations, and takes a data set without them, such as COCO's
// image_info_test2017.json.
func ReadImages(r io.Reader, limits Limits) (*Dataset, error) {
	return readDataset(r, limits, false)
}

func readDataset(r io.Reader, limits Limits, annotations bool) (*Dataset, error) {
	limits = limits.orDefault()
	in := newStream(r, limits.Bytes)
	d := new(Dataset)
	seen := make(map[string]bool)
	err := in.object(func(key string) error {
		if key != "images" && key != "annotations" && key != "categories" {
			return in.skip()
		}
		if seen[key] {
			return fmt.Errorf("%w: %q occurs twice", ErrFormat, key)
		}
		seen[key] = true
		switch key {
		case "images":
			return list(in, "image", limits.Items, d.addImage)
		case "annotations":
			if !annotations {
				return list(in, "annotation", limits.Items, func(*json.RawMessage) error { return nil })
			}
			return list(in, "annotation", limits.Items, d.addAnnotation)
		}
		return list(in, "category", limits.Items, d.addCategory)
	})
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"images", "annotations", "categories"} {
		if !seen[key] && (annotations || key != "annotations") {
			return nil, fmt.Errorf("%w: there is no list %q", ErrFormat, key)
		}
	}
	d.leaveOut()
	if err := d.Check(); err != nil {
		return nil, err
	}
	return d, nil
}

// leaveOut removes the annotations of unknown images and categories, and counts them.
func (d *Dataset) leaveOut() {
	images, categories := make(map[int64]bool, len(d.Images)), make(map[int64]bool, len(d.Categories))
	for i := range d.Images {
		images[d.Images[i].ID] = true
	}
	for i := range d.Categories {
		categories[d.Categories[i].ID] = true
	}
	d.Annotations = slices.DeleteFunc(d.Annotations, func(a Annotation) bool {
		switch {
		case !images[a.ImageID]:
			d.leftOut.images++
		case !categories[a.CategoryID]:
			d.leftOut.categories++
		default:
			return false
		}
		return true
	})
}

// ReadDatasetFile reads a file as ReadDataset does. Its errors begin with the path.
func ReadDatasetFile(path string, limits Limits) (*Dataset, error) {
	return fromFile(path, func(r io.Reader) (*Dataset, error) { return ReadDataset(r, limits) })
}

func fromFile[T any](path string, read func(io.Reader) (T, error)) (T, error) {
	f, err := files.Open(path)
	if err != nil {
		return *new(T), err
	}
	defer f.Close()
	value, err := read(f)
	if err != nil {
		return *new(T), fmt.Errorf("%s: %w", path, err)
	}
	return value, nil
}

// imageJSON is an image in COCO's JSON. A nil pointer is a field that is missing or null.
type imageJSON struct {
	ID            *id     `json:"id"`
	FileName      string  `json:"file_name"`
	URL           string  `json:"coco_url"`
	Width         float64 `json:"width"` // some files write 640.0
	Height        float64 `json:"height"`
	Negative      []id    `json:"neg_category_ids"`
	NotExhaustive []id    `json:"not_exhaustive_category_ids"`
}

func (d *Dataset) addImage(from *imageJSON) error {
	if from.ID == nil {
		return missing("id")
	}
	name := from.FileName
	if name == "" && from.URL != "" {
		name = lastPart(from.URL)
	}
	for _, side := range []float64{from.Width, from.Height} {
		if side != math.Trunc(side) || side < 0 || side > math.MaxInt32 {
			return fmt.Errorf("%w: the size is %v x %v", ErrNumber, from.Width, from.Height)
		}
	}
	d.Federated = d.Federated || from.Negative != nil || from.NotExhaustive != nil
	d.Images = append(d.Images, Image{int64(*from.ID), name, int(from.Width), int(from.Height), ids(from.Negative), ids(from.NotExhaustive)})
	return nil
}

type annotationJSON struct {
	ID         *id `json:"id"`
	ImageID    *id `json:"image_id"`
	CategoryID *id `json:"category_id"`
	// A fixed array would take any length, and plain numbers would take null.
	BBox  []*float64 `json:"bbox"`
	Area  *float64   `json:"area"`
	Crowd flag       `json:"iscrowd"`
}

func (d *Dataset) addAnnotation(from *annotationJSON) error {
	if from.ID == nil {
		return missing("id")
	}
	box, err := references(from.ImageID, from.CategoryID, from.BBox)
	if err != nil {
		return fmt.Errorf("id %d: %w", *from.ID, err)
	}
	a := Annotation{int64(*from.ID), int64(*from.ImageID), int64(*from.CategoryID), box, box.area(), bool(from.Crowd)}
	if from.Area != nil {
		a.Area = *from.Area
	}
	d.Annotations = append(d.Annotations, a)
	return nil
}

type categoryJSON struct {
	ID        *id    `json:"id"`
	Name      string `json:"name"`
	Frequency string `json:"frequency"`
	Super     any    `json:"supercategory"` // some write null or a number
}

func (d *Dataset) addCategory(from *categoryJSON) error {
	if from.ID == nil {
		return missing("id")
	}
	super, _ := from.Super.(string)
	d.Categories = append(d.Categories, Category{int64(*from.ID), from.Name, from.Frequency, super})
	return nil
}

// references checks the fields that annotations and results share.
func references(imageID, categoryID *id, numbers []*float64) (BBox, error) {
	switch {
	case imageID == nil:
		return BBox{}, missing("image_id")
	case categoryID == nil:
		return BBox{}, missing("category_id")
	case numbers == nil:
		return BBox{}, missing("bbox")
	case len(numbers) != 4:
		return BBox{}, fmt.Errorf("%w: it has %d numbers, want [x,y,width,height]", ErrBBox, len(numbers))
	}
	var b BBox
	for i, v := range numbers {
		if v == nil {
			return BBox{}, fmt.Errorf("%w: number %d is null", ErrBBox, i)
		}
		b[i] = *v
	}
	return b, nil
}

func missing(field string) error { return fmt.Errorf("%w: it has no %s", ErrFormat, field) }

// flag is true, false or a number. A number other than 0 is true.
type flag bool

func (f *flag) UnmarshalJSON(data []byte) error {
	switch s := string(data); s {
	case "null":
	case "true", "false":
		*f = s == "true"
	default:
		number, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%w: %s is no flag such as iscrowd: write 0 or 1", ErrFormat, s)
		}
		*f = number != 0
	}
	return nil
}

// stream decodes JSON value by value.
type stream struct{ json *json.Decoder }

func newStream(r io.Reader, most int64) *stream {
	return &stream{json.NewDecoder(asJSON(&bounded{r: r, left: most, most: most}))}
}

// bounded is a reader that fails, instead of ending, after most bytes.
type bounded struct {
	r          io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), b.left+1)]
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: it has more than %d bytes; raise the limit", ErrTooLarge, b.most)
	}
	return n, err
}

// wrong wraps an error of the decoder in ErrFormat, and returns an error of the reader as
// it is.
func (s *stream) wrong(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the JSON ends early, at byte %d", ErrFormat, s.json.InputOffset())
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: at byte %d: %w", ErrFormat, syntax.Offset, err)
	case errors.As(err, &kind) && strings.HasSuffix(kind.Value, beyond):
		return fmt.Errorf("%w: %s is NaN, infinite or beyond any number", ErrNumber, kind.Field)
	case errors.As(err, &kind):
		article := "a"
		if strings.HasPrefix(kind.Value, "array") || strings.HasPrefix(kind.Value, "object") {
			article = "an"
		}
		return fmt.Errorf("%w: %s is %s %s, want %s", ErrFormat, cmp.Or(kind.Field, "it"), article, kind.Value, inJSON(kind.Type))
	}
	return err
}

// inJSON returns what JSON calls a type of the fields that are read.
func inJSON(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list of numbers"
	case reflect.Struct:
		return "an object"
	case reflect.String:
		return "a string"
	}
	return "a number"
}

// open reads a [ or {.
func (s *stream) open(want json.Delim, what string) error {
	token, err := s.json.Token()
	if err != nil {
		return s.wrong(err)
	}
	if token != want {
		return fmt.Errorf("%w: %s begins with %v, want %v", ErrFormat, what, token, want)
	}
	return nil
}

// object reads an object that is the whole input. It calls field to read the value of
// each key.
func (s *stream) object(field func(key string) error) error {
	if err := s.open('{', "the JSON"); err != nil {
		return err
	}
	return s.fields(field)
}

// fields is object after the {.
func (s *stream) fields(field func(key string) error) error {
	for s.json.More() {
		key, err := s.json.Token()
		if err != nil {
			return s.wrong(err)
		}
		if err := field(fmt.Sprint(key)); err != nil {
			return err
		}
	}
	if _, err := s.json.Token(); err != nil {
		return s.wrong(err)
	}
	return s.end()
}

// end fails if the input has more values.
func (s *stream) end() error {
	token, err := s.json.Token()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return s.wrong(err)
	}
	return fmt.Errorf("%w: the JSON continues with %v after its end", ErrFormat, token)
}

func (s *stream) skip() error {
	var value json.RawMessage
	if err := s.json.Decode(&value); err != nil {
		return s.wrong(err)
	}
	return nil
}

// list reads an array of at most most elements.
func list[T any](s *stream, what string, most int, add func(*T) error) error {
	if err := s.open('[', "the list of each "+what); err != nil {
		return err
	}
	return elements(s, what, most, add)
}

// elements is list after the [.
func elements[T any](s *stream, what string, most int, add func(*T) error) error {
	for i := 0; s.json.More(); i++ {
		if i == most {
			return fmt.Errorf("%w: there are more than %d of %s; raise the limit", ErrTooLarge, most, what)
		}
		var value *T
		if err := s.json.Decode(&value); err != nil {
			return fmt.Errorf("%s %d: %w", what, i, s.wrong(err))
		}
		if value == nil {
			return fmt.Errorf("%s %d: %w: it is null", what, i, ErrFormat)
		}
		if err := add(value); err != nil {
			return fmt.Errorf("%s %d: %w", what, i, err)
		}
	}
	if _, err := s.json.Token(); err != nil {
		return s.wrong(err)
	}
	return nil
}

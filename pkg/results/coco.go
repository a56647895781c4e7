package results

import (
	"fmt"
	"io"

	"github.com/clipdet/clipdet/pkg/eval"
)

// NewCOCOWriter returns a Writer of a data set in COCO's format
// (cocodataset.org/#format-data): info, categories, annotations and images. A picture
// without detections is among the images, and one that failed is not. An annotation has
// the score beside id, image_id, category_id, bbox, area, which is the box's, and
// iscrowd, which is 0. Annotations are numbered from 1. Numbers are float64.
//
// A record's ID is the image's id, and its FileName or else Image is the file_name. Several
// records may be of one image. categories has the category of each query; nil: they are
// numbered from 1 and have the queries' names.
//
// The Writer keeps the name and size of each image until Close. NewCOCOWriter fails with
// ErrRecord if two queries or the ids of two categories are the same, or if a query has no
// category. The Writer fails with ErrRecord for a query that isn't among them, for a
// picture without a width or a height, and for the ID of an image of another name or size.
func NewCOCOWriter(w io.Writer, queries []string, categories []eval.Category) (Writer, error) {
	c, err := categorised(queries, categories)
	if err != nil {
		return nil, err
	}
	return &cocoWriter{w: w, categories: c, place: map[int64]int{}}, nil
}

// categories are the categories of queries.
type categories struct {
	list []eval.Category
	ids  map[string]int64 // by query
}

func categorised(queries []string, list []eval.Category) (categories, error) {
	if list == nil {
		for i, name := range queries {
			list = append(list, eval.Category{ID: int64(i) + 1, Name: name})
		}
	}
	c := categories{list, make(map[string]int64, len(queries))}
	if len(list) != len(queries) {
		return c, fmt.Errorf("%w: there are %d categories for %d queries", ErrRecord, len(list), len(queries))
	}
	by := make(map[int64]string, len(queries))
	for i, name := range queries {
		id := list[i].ID
		if _, ok := c.ids[name]; ok {
			return c, fmt.Errorf("%w: two queries have the name %q", ErrRecord, name)
		}
		if other, ok := by[id]; ok {
			return c, fmt.Errorf("%w: the queries %q and %q both have the category_id %d", ErrRecord, other, name, id)
		}
		c.ids[name], by[id] = id, name
	}
	return c, nil
}

// check fails for a record that isn't writable or has another query.
func (c categories) check(r Record) error {
	if err := r.writable(); err != nil {
		return err
	}
	for _, d := range r.Detections {
		if _, ok := c.ids[d.Query]; !ok {
			return fmt.Errorf("%w: %q has the query %q, which is no category", ErrRecord, r.Image, d.Query)
		}
	}
	return nil
}

type cocoWriter struct {
	w io.Writer
	categories
	images  []cocoImage
	place   map[int64]int // in images, by id
	begun   bool
	written int // annotations
}

type cocoImage struct {
	ID       int64  `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

type cocoAnnotation struct {
	ID         int       `json:"id"`
	ImageID    int64     `json:"image_id"`
	CategoryID int64     `json:"category_id"`
	BBox       eval.BBox `json:"bbox"`
	Area       float64   `json:"area"`
	Crowd      int       `json:"iscrowd"`
	Score      float64   `json:"score"`
}

func (c *cocoWriter) Write(r Record) error {
	if r.Error != "" {
		return nil // an image without annotations would say that nothing is in it
	}
	if err := c.check(r); err != nil {
		return err
	}
	if r.Width == 0 || r.Height == 0 {
		return fmt.Errorf("%w: %q is %d x %d pixels, and an image has a size", ErrRecord, r.Image, r.Width, r.Height)
	}
	image := cocoImage{r.ID, r.FileName, r.Width, r.Height}
	if image.FileName == "" {
		image.FileName = r.Image
	}
	place, known := c.place[r.ID]
	if known && c.images[place] != image {
		return fmt.Errorf("%w: %q has the image_id %d of another image, %q", ErrRecord, r.Image, r.ID, c.images[place].FileName)
	}
	if err := c.begin(); err != nil {
		return err
	}
	for _, d := range r.Detections {
		bbox := eval.FromBox(d.Box)
		err := writeItem(c.w, c.written, cocoAnnotation{
			ID: c.written + 1, ImageID: r.ID, CategoryID: c.ids[d.Query], BBox: bbox, Area: bbox[2] * bbox[3], Score: float64(d.Score),
		})
		if err != nil {
			return err
		}
		c.written++
	}
	if !known {
		c.place[r.ID] = len(c.images)
		c.images = append(c.images, image)
	}
	return nil
}

// begin writes everything before the annotations, once.
func (c *cocoWriter) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	type category struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	list := make([]category, len(c.list))
	for i, one := range c.list {
		list[i] = category{one.ID, one.Name}
	}
	line, err := marshal(list)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.w, "{\"info\":{\"description\":\"Detections by clipdet\"},\n\"categories\":%s,\n\"annotations\":", line)
	return err
}

func (c *cocoWriter) Close() error {
	if err := c.begin(); err != nil {
		return err
	}
	if err := closeList(c.w, c.written); err != nil {
		return err
	}
	if _, err := io.WriteString(c.w, ",\"images\":"); err != nil {
		return err
	}
	for i, image := range c.images {
		if err := writeItem(c.w, i, image); err != nil {
			return err
		}
	}
	if err := closeList(c.w, len(c.images)); err != nil {
		return err
	}
	_, err := io.WriteString(c.w, "}\n")
	return err
}

// NewCOCOResultsWriter returns a Writer of COCO results, a list of detections
// (cocodataset.org/#format-results), as pycocotools' loadRes takes it. The numbers are
// float64, as eval.WriteResults writes them: those that clipdet eval evaluates. A record's
// ID is the image_id. categories has the category of each query; nil: they are numbered
// from 1.
//
// It fails as [NewCOCOWriter] does. The Writer fails with ErrRecord for a query that
// isn't among them.
func NewCOCOResultsWriter(w io.Writer, queries []string, categories []eval.Category) (Writer, error) {
	c, err := categorised(queries, categories)
	if err != nil {
		return nil, err
	}
	return &cocoResultsWriter{w: w, categories: c}, nil
}

type cocoResultsWriter struct {
	w io.Writer
	categories
	written int
}

func (c *cocoResultsWriter) Write(r Record) error {
	if r.Error != "" {
		return nil // the format has no place for it
	}
	if err := c.check(r); err != nil {
		return err
	}
	for _, d := range r.Detections {
		err := writeItem(c.w, c.written, eval.Result{ImageID: r.ID, CategoryID: c.ids[d.Query], BBox: eval.FromBox(d.Box), Score: float64(d.Score)})
		if err != nil {
			return err
		}
		c.written++
	}
	return nil
}

func (c *cocoResultsWriter) Close() error { return closeList(c.w, c.written) }

// writeItem writes an item of a list, each on a line. written is the number of those
// before it; closeList ends the list.
func writeItem(w io.Writer, written int, item any) error {
	line, err := marshal(item)
	if err != nil {
		return err
	}
	lead := "[\n"
	if written > 0 {
		lead = ",\n"
	}
	_, err = fmt.Fprintf(w, "%s%s", lead, line)
	return err
}

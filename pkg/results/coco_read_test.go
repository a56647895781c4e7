package results

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// Picture is what formats without room for it leave out of a Record: the path and the
// size in pixels.
type Picture struct {
	Image         string
	Width, Height int
}

// COCOIDs say what the numbers in COCO results stand for. In JSON they are the
// "images" and "categories" of COCO's annotations (cocodataset.org/#format-data), so
// that what is written is enough for pycocotools' loadRes, and annotations can be read.
type COCOIDs struct {
	Images     map[int64]Picture // by image_id
	Categories map[int64]string  // by category_id
}

type cocoAnnotations struct {
	Images     []cocoImage    `json:"images"`
	Categories []cocoCategory `json:"categories"`
}

type cocoImage struct {
	ID       int64  `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

type cocoCategory struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// MarshalJSON writes {"images": [{"id", "file_name", "width", "height"}], "categories":
// [{"id", "name"}]}, in the order of the ids.
func (c COCOIDs) MarshalJSON() ([]byte, error) {
	all := cocoAnnotations{Images: []cocoImage{}, Categories: []cocoCategory{}}
	for _, id := range slices.Sorted(maps.Keys(c.Images)) {
		p := c.Images[id]
		all.Images = append(all.Images, cocoImage{id, p.Image, p.Width, p.Height})
	}
	for _, id := range slices.Sorted(maps.Keys(c.Categories)) {
		all.Categories = append(all.Categories, cocoCategory{id, c.Categories[id]})
	}
	return marshal(all)
}

// UnmarshalJSON reads what MarshalJSON writes, and any COCO annotations. An id that is
// given twice is ErrFormat.
func (c *COCOIDs) UnmarshalJSON(data []byte) error {
	var all cocoAnnotations
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	ids := COCOIDs{map[int64]Picture{}, map[int64]string{}}
	for _, image := range all.Images {
		if _, ok := ids.Images[image.ID]; ok {
			return fmt.Errorf("%w: two images have the id %d", ErrFormat, image.ID)
		}
		ids.Images[image.ID] = Picture{image.FileName, image.Width, image.Height}
	}
	for _, category := range all.Categories {
		if _, ok := ids.Categories[category.ID]; ok {
			return fmt.Errorf("%w: two categories have the id %d", ErrFormat, category.ID)
		}
		ids.Categories[category.ID] = category.Name
	}
	*c = ids
	return nil
}

// ReadCOCO reads COCO's results, also those of other programs, as one record for each
// picture that has any, in the order of their first detections. The list gives each
// detection's box and score; the rest is from ids or zero. A box's right and lower
// edges are x + width and y + height, in float32.
//
// It fails with ErrFormat, also for an id that ids lack, ErrLimit, or the reader's error.
func ReadCOCO(r io.Reader, ids COCOIDs, limits Limits) ([]Record, error) {
	pictures := gathered[int64]{limits: limits.orDefault()}
	n := 0
	for element, err := range elements(r, limits, false) {
		n++
		var id int64
		var d detect.Detection
		if err == nil {
			id, d, err = parseCOCO(element, ids)
		}
		if err == nil {
			p := ids.Images[id]
			err = pictures.add(id, Record{Image: p.Image, ID: id, Width: p.Width, Height: p.Height}, d)
		}
		if err != nil {
			return nil, fmt.Errorf("result %d: %w", n, err)
		}
	}
	return pictures.records, nil
}

func parseCOCO(element json.RawMessage, ids COCOIDs) (int64, detect.Detection, error) {
	var o struct {
		ImageID    *int64     `json:"image_id"`
		CategoryID *int64     `json:"category_id"`
		BBox       []*float32 `json:"bbox"` // a fixed array would take any length
		Score      *float32   `json:"score"`
	}
	if err := json.Unmarshal(element, &o); err != nil {
		return 0, detect.Detection{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if o.ImageID == nil || o.CategoryID == nil || o.Score == nil || len(o.BBox) != 4 || slices.Contains(o.BBox, nil) {
		return 0, detect.Detection{}, fmt.Errorf("%w: it lacks one of image_id, category_id, bbox [x, y, width, height] and score", ErrFormat)
	}
	if _, ok := ids.Images[*o.ImageID]; !ok {
		return 0, detect.Detection{}, fmt.Errorf("%w: image_id %d is not among the images", ErrFormat, *o.ImageID)
	}
	query, ok := ids.Categories[*o.CategoryID]
	if !ok {
		return 0, detect.Detection{}, fmt.Errorf("%w: category_id %d is not among the categories", ErrFormat, *o.CategoryID)
	}
	x, y, w, h := *o.BBox[0], *o.BBox[1], *o.BBox[2], *o.BBox[3]
	return *o.ImageID, detect.Detection{Query: query, Box: box.Box{X0: x, Y0: y, X1: x + w, Y1: y + h}, Score: *o.Score}, nil
}

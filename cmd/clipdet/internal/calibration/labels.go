package calibration

import (
	"fmt"
	"path/filepath"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Labels say of which categories pictures show something, by their files' names.
type Labels struct {
	Categories []string
	images     map[string]map[string]bool
}

// ReadLabels reads what is needed of ground truth in COCO's form.
func ReadLabels(path string) (*Labels, error) {
	d, err := eval.ReadDatasetFile(path, eval.Limits{})
	if err != nil {
		return nil, err
	}
	if len(d.Images) == 0 || len(d.Categories) == 0 {
		return nil, fmt.Errorf("%s: %w: it has %d images and %d categories", path, eval.ErrFormat, len(d.Images), len(d.Categories))
	}
	c := &Labels{images: map[string]map[string]bool{}}
	names := map[int64]string{}
	for _, category := range d.Categories {
		c.Categories, names[category.ID] = append(c.Categories, category.Name), category.Name
	}
	shown := map[int64]map[string]bool{}
	for _, image := range d.Images {
		base := filepath.Base(image.FileName)
		if c.images[base] == nil { // images of one name in several directories count as one
			c.images[base] = map[string]bool{}
		}
		shown[image.ID] = c.images[base]
	}
	for _, a := range d.Annotations {
		shown[a.ImageID][names[a.CategoryID]] = true
	}
	return c, nil
}

// Has says whether the picture is known.
func (c *Labels) Has(path string) bool { return c.images[filepath.Base(path)] != nil }

// Shows says whether something of the category is in the picture.
func (c *Labels) Shows(path, category string) bool { return c.images[filepath.Base(path)][category] }

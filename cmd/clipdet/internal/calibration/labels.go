package calibration

import (
	"fmt"
	"path/filepath"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Labels are the categories that each picture shows. Pictures are known by their file
// names without directories.
type Labels struct {
	Categories []string
	Warnings   []string // of the ground truth
	images     map[string]map[string]bool
}

// ReadLabels reads the labels from ground truth in COCO's format. It fails as
// eval.ReadDatasetFile does, and with eval.ErrFormat if there are no images or no
// categories.
func ReadLabels(path string) (*Labels, error) {
	d, err := eval.ReadDatasetFile(path, eval.Limits{})
	if err != nil {
		return nil, err
	}
	if len(d.Images) == 0 || len(d.Categories) == 0 {
		return nil, fmt.Errorf("%s: %w: it has %d images and %d categories", path, eval.ErrFormat, len(d.Images), len(d.Categories))
	}
	labels := &Labels{Warnings: d.Warnings(), images: map[string]map[string]bool{}}
	names := map[int64]string{}
	for _, category := range d.Categories {
		labels.Categories, names[category.ID] = append(labels.Categories, category.Name), category.Name
	}
	shown := map[int64]map[string]bool{}
	for _, image := range d.Images {
		base := image.Base()
		// Images of one name in several directories count as one.
		if labels.images[base] == nil {
			labels.images[base] = map[string]bool{}
		}
		shown[image.ID] = labels.images[base]
	}
	for _, a := range d.Annotations {
		shown[a.ImageID][names[a.CategoryID]] = true
	}
	return labels, nil
}

// Has reports whether the picture at path is in the ground truth.
func (l *Labels) Has(path string) bool { return l.images[filepath.Base(path)] != nil }

// Shows reports whether the picture at path shows something of the category.
func (l *Labels) Shows(path, category string) bool { return l.images[filepath.Base(path)][category] }

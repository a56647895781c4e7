package eval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrFormat is returned for data that isn't COCO's JSON or lacks a field.
	ErrFormat = errors.New("not in COCO's format")
	// ErrTooLarge is returned for more than Limits allow.
	ErrTooLarge = errors.New("file is too large")
	// ErrDuplicate is returned for an id of two images, two annotations or two
	// categories.
	ErrDuplicate = errors.New("id occurs twice")
	// ErrUnknown is returned for an image_id or category_id that isn't in the data set.
	ErrUnknown = errors.New("unknown id")
	// ErrBBox is returned for a bbox that isn't four finite numbers, whose width or
	// height is negative, or whose edges or area overflow float64.
	ErrBBox = errors.New("unusable bbox")
	// ErrNumber is returned for an area, a size, a score or a limit that no metric can be
	// computed with.
	ErrNumber = errors.New("unusable number")
	// ErrSize is returned by [Image.CheckSize] for a picture of another size.
	ErrSize = errors.New("not the annotated picture")
)

// Dataset is ground truth, read by [ReadDataset] or built by the caller.
type Dataset struct {
	Images      []Image
	Annotations []Annotation
	Categories  []Category
	// Federated is set if not every category was annotated in every image, as in LVIS.
	// Evaluate then counts only what is known. ReadDataset sets it if an image has
	// neg_category_ids or not_exhaustive_category_ids. If it is cleared, Evaluate follows
	// COCO's rules.
	Federated bool

	// leftOut counts the annotations that ReadDataset left out, because their image or
	// their category isn't in the data set.
	leftOut struct{ images, categories int }
}

// Image is an image of a data set.
type Image struct {
	ID int64
	// FileName is the file_name. If the image has none, as in LVIS, it is the last part
	// of the coco_url. It may be empty.
	FileName string
	// Width and Height are in pixels, 0 if unknown. No metric needs them.
	Width, Height int
	// Negative holds the categories that are known not to be in the image. NotExhaustive
	// holds those with instances that are not annotated. Only federated data sets use
	// them.
	Negative, NotExhaustive []int64
}

// Base returns the last part of the FileName. Both / and \ separate parts, since tools of
// Windows write the latter.
func (i *Image) Base() string { return lastPart(i.FileName) }

// CheckSize returns ErrSize if a picture of width x height pixels doesn't have the annotated
// size, because the annotated boxes would be in the wrong places. The picture is upright,
// as package pixels decodes it. An image without a size takes every picture.
func (i *Image) CheckSize(width, height int) error {
	if i.Width > 0 && i.Height > 0 && (i.Width != width || i.Height != height) {
		return fmt.Errorf("%w: it is %d x %d pixels when upright, and its annotations are for %d x %d", ErrSize, width, height, i.Width, i.Height)
	}
	return nil
}

func lastPart(name string) string { return name[strings.LastIndexAny(name, `/\`)+1:] }

// Annotation is an object in an image.
type Annotation struct {
	ID, ImageID, CategoryID int64
	BBox                    BBox
	// Area decides whether the object is small, medium or large. In COCO it is the area
	// of the segment, not of the box.
	Area float64
	// Crowd marks a region with many objects. A detection that matches only the region
	// counts neither for nor against. LVIS's metrics ignore Crowd.
	Crowd bool
}

// Category is a kind of object.
type Category struct {
	ID   int64
	Name string
	// Frequency is "r", "c" or "f" (rare, common or frequent, by the number of images in
	// LVIS's training set), or empty.
	Frequency string
	// Supercategory is the name of a group of categories, or empty. No metric needs it.
	Supercategory string
}

// Check returns the first error of d: ErrDuplicate, ErrUnknown, ErrBBox, ErrNumber, or
// ErrFormat for an unknown frequency. Every function that takes a Dataset checks it.
func (d *Dataset) Check() error {
	_, _, err := d.ranks()
	return err
}

// MostDetections returns how many detections of a picture count: maxDets of pycocotools, 100
// of each category, or max_dets of LVIS's API, 300 in all, if d.Federated is set. More of a
// picture needn't be kept.
func (d *Dataset) MostDetections() int {
	if d.Federated {
		return federatedLimit
	}
	return 100
}

// Warnings describes what is no error but may make metrics other than expected: an
// annotation with the id 0, which pycocotools counts as missed, and annotations that
// ReadDataset left out.
func (d *Dataset) Warnings() []string {
	var all []string
	for i, a := range d.Annotations {
		if a.ID == 0 {
			all = append(all, fmt.Sprintf("annotation %d has the id 0, of which COCO's metrics count no match: number annotations from 1", i))
			break
		}
	}
	if n := d.leftOut.images; n > 0 {
		all = append(all, fmt.Sprintf("%d annotations are left out: their image_id is none of the images", n))
	}
	if n := d.leftOut.categories; n > 0 {
		all = append(all, fmt.Sprintf("%d annotations are left out: their category_id is none of the categories", n))
	}
	return all
}

// Subset returns the part of d that belongs to the images with the given ids. All
// categories stay, and the order stays. Subset fails with ErrUnknown for an id of no
// image.
func (d *Dataset) Subset(imageIDs []int64) (*Dataset, error) {
	wanted := make(map[int64]bool, len(imageIDs))
	for _, id := range imageIDs {
		wanted[id] = true
	}
	part := &Dataset{Categories: d.Categories, Federated: d.Federated}
	have := make(map[int64]bool, len(imageIDs))
	for _, image := range d.Images {
		if wanted[image.ID] {
			part.Images = append(part.Images, image)
			have[image.ID] = true
		}
	}
	for _, id := range imageIDs {
		if !have[id] {
			return nil, fmt.Errorf("%w: no image has the id %d", ErrUnknown, id)
		}
	}
	for _, a := range d.Annotations {
		if wanted[a.ImageID] {
			part.Annotations = append(part.Annotations, a)
		}
	}
	return part, nil
}

// ranking numbers ids in ascending order, the order of evaluation.
type ranking struct {
	rank  map[int64]int32
	order []int // indices of the list with the ids
}

func ranked[T any](what string, list []T, id func(*T) int64) (ranking, error) {
	r := ranking{make(map[int64]int32, len(list)), make([]int, len(list))}
	for i := range list {
		r.order[i] = i
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		switch x, y := id(&list[a]), id(&list[b]); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for k, i := range r.order {
		if k > 0 && id(&list[i]) == id(&list[r.order[k-1]]) {
			return ranking{}, fmt.Errorf("%w: %s %d and %d both have the id %d", ErrDuplicate, what, r.order[k-1], i, id(&list[i]))
		}
		r.rank[id(&list[i])] = int32(k)
	}
	return r, nil
}

// ranks checks d and numbers its images and categories.
func (d *Dataset) ranks() (images, categories ranking, err error) {
	if images, err = ranked("images", d.Images, func(i *Image) int64 { return i.ID }); err != nil {
		return images, categories, err
	}
	if categories, err = ranked("categories", d.Categories, func(c *Category) int64 { return c.ID }); err != nil {
		return images, categories, err
	}
	if _, err = ranked("annotations", d.Annotations, func(a *Annotation) int64 { return a.ID }); err != nil {
		return images, categories, err
	}
	for i := range d.Categories {
		if err := d.Categories[i].check(); err != nil {
			return images, categories, fmt.Errorf("category %d (id %d): %w", i, d.Categories[i].ID, err)
		}
	}
	for i := range d.Images {
		if err := d.Images[i].check(categories); err != nil {
			return images, categories, fmt.Errorf("image %d (id %d): %w", i, d.Images[i].ID, err)
		}
	}
	for i := range d.Annotations {
		a := &d.Annotations[i]
		if err := a.check(images, categories); err != nil {
			return images, categories, fmt.Errorf("annotation %d (id %d): %w", i, a.ID, err)
		}
	}
	return images, categories, nil
}

func (c *Category) check() error {
	switch c.Frequency {
	case "", "r", "c", "f":
		return nil
	}
	return fmt.Errorf("%w: the frequency %q is none of r, c and f", ErrFormat, c.Frequency)
}

func (i *Image) check(categories ranking) error {
	if i.Width < 0 || i.Height < 0 {
		return fmt.Errorf("%w: the size is %d x %d", ErrNumber, i.Width, i.Height)
	}
	for _, list := range [][]int64{i.Negative, i.NotExhaustive} {
		for _, id := range list {
			if _, ok := categories.rank[id]; !ok {
				return fmt.Errorf("%w: no category has the id %d of its list", ErrUnknown, id)
			}
		}
	}
	return nil
}

func (a *Annotation) check(images, categories ranking) error {
	if err := knownImage(images, a.ImageID); err != nil {
		return err
	}
	if err := knownCategory(categories, a.CategoryID); err != nil {
		return err
	}
	if err := a.BBox.check(); err != nil {
		return err
	}
	if !finite(a.Area) || a.Area < 0 {
		return fmt.Errorf("%w: the area is %v", ErrNumber, a.Area)
	}
	return nil
}

func knownImage(images ranking, id int64) error {
	if _, ok := images.rank[id]; !ok {
		return fmt.Errorf("%w: no image has the image_id %d", ErrUnknown, id)
	}
	return nil
}

func knownCategory(categories ranking, id int64) error {
	if _, ok := categories.rank[id]; !ok {
		return fmt.Errorf("%w: no category has the category_id %d", ErrUnknown, id)
	}
	return nil
}

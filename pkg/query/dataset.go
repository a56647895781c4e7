package query

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Categories are what a data set is asked for.
type Categories struct {
	Asked  []eval.Category // in the data set's order
	Names  []string        // of the query of each, all distinct
	Groups []string        // the names of categories that aren't asked for (WithoutGroups)
}

// OfDataset returns what a data set is asked for. It returns an error that wraps
// eval.ErrFormat if there is nothing to measure, if a category has no name, which is what
// is asked for, or if an image has none, and eval.ErrDuplicate if two images have the same.
//
// A name that can't be a query, or that another category has already, gets the category's
// id.
func OfDataset(d *eval.Dataset) (Categories, error) {
	var c Categories
	if err := checkNames(d); err != nil {
		return c, err
	}
	c.Asked, c.Groups = WithoutGroups(d)
	taken := map[string]bool{"": true}
	for _, category := range c.Asked {
		name := OfCategory(category.Name)
		if _, err := Parse(name); err != nil {
			name = ""
		}
		for taken[name] { // perhaps also with its id
			name = strings.TrimSpace(fmt.Sprintf("%s (category %d)", name, category.ID))
		}
		taken[name] = true
		c.Names = append(c.Names, name)
	}
	return c, nil
}

// WithoutGroups returns the categories of a data set without those that only group others,
// and the names of these. A category with annotations is no group.
func WithoutGroups(d *eval.Dataset) (kept []eval.Category, groups []string) {
	annotated := map[int64]bool{}
	for _, a := range d.Annotations {
		annotated[a.CategoryID] = true
	}
	return noGroups(d.Categories, func(c eval.Category) string { return c.Name }, func(c eval.Category) string {
		if annotated[c.ID] && c.Supercategory == "none" {
			return ""
		}
		return c.Supercategory
	})
}

func checkNames(d *eval.Dataset) error {
	if len(d.Images) == 0 || len(d.Categories) == 0 {
		return fmt.Errorf("%w: there are %d images and %d categories, so there is nothing to measure", eval.ErrFormat, len(d.Images), len(d.Categories))
	}
	for _, c := range d.Categories {
		if strings.TrimSpace(c.Name) == "" {
			return fmt.Errorf("%w: the category with the id %d has no name, so it can't be asked for; name it, or leave it out", eval.ErrFormat, c.ID)
		}
	}
	named := map[string]int64{}
	for _, image := range d.Images {
		other, taken := named[image.FileName]
		switch {
		case image.FileName == "":
			return fmt.Errorf("%w: the image with the id %d has neither file_name nor coco_url", eval.ErrFormat, image.ID)
		case taken:
			return fmt.Errorf("%w: the images with the ids %d and %d both have the file_name %q", eval.ErrDuplicate, other, image.ID, image.FileName)
		}
		named[image.FileName] = image.ID
	}
	return nil
}

// OfCategory returns the name of a category as a phrase. LVIS's "bow_(weapon)" becomes
// "bow (weapon)" and Objects365's "Lamp/Light" becomes "Lamp or Light", as in
// processed_name of ViLD (github.com/tensorflow/tpu). Characters that a query can't have
// are removed.
func OfCategory(name string) string {
	name = strings.NewReplacer("_", " ", "/", " or ", "|", " or ", "=", " ", "::", " ", "{}", " ").Replace(strings.ToValidUTF8(name, " "))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, name)
	return strings.TrimLeft(strings.Join(strings.Fields(name), " "), "@- ")
}

package evaluate

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/query"
)

// IDs are the ids that a data set gives its images and categories.
type IDs struct {
	path  string
	data  *eval.Dataset
	named map[string][]namedImage // by the folded last part of the name
}

// namedImage is an image under one of the names that its file_name may stand for.
type namedImage struct {
	image int // in Images of the data set
	parts []string
}

// ReadIDs reads the data set of --ids. It needs no annotations.
func ReadIDs(path string) (*IDs, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--ids: %w", err)
	}
	defer file.Close()
	d, err := eval.ReadImages(file, eval.Limits{})
	if err != nil {
		return nil, fmt.Errorf("--ids %s: %w", path, err)
	}
	d.Categories, _ = query.WithoutGroups(d)
	ids := &IDs{path: path, data: d, named: map[string][]namedImage{}}
	for i, image := range d.Images {
		for _, form := range forms(image.FileName) {
			parts := strings.Split(filepath.ToSlash(filepath.Clean(form)), "/")
			last := folded(parts[len(parts)-1])
			ids.named[last] = append(ids.named[last], namedImage{i, parts})
		}
	}
	return ids, nil
}

// Categories returns the category of each query: the one of its name, or else the only one
// whose name differs in capitals and in the characters that a query can't have. An error
// names the query.
func (ids *IDs) Categories(queries []string) ([]eval.Category, error) {
	like := func(name string) string { return folded(query.OfCategory(name)) }
	named, alike := map[string][]eval.Category{}, map[string][]eval.Category{}
	for _, c := range ids.data.Categories {
		named[c.Name] = append(named[c.Name], c)
		alike[like(c.Name)] = append(alike[like(c.Name)], c)
	}
	categories := make([]eval.Category, len(queries))
	by := map[int64]string{}
	for i, query := range queries {
		exact := named[query]
		if len(exact) == 0 {
			exact = alike[like(query)]
		}
		switch {
		case len(exact) == 0:
			return nil, fmt.Errorf("--ids %s: no category there is named %q", ids.path, query)
		case len(exact) > 1:
			return nil, fmt.Errorf("--ids %s: the query %q may be the category %d or %d there", ids.path, query, exact[0].ID, exact[1].ID)
		}
		categories[i] = exact[0]
		if other, taken := by[exact[0].ID]; taken {
			return nil, fmt.Errorf("--ids %s: the queries %q and %q are both the category %d there", ids.path, other, query, exact[0].ID)
		}
		by[exact[0].ID] = query
	}
	return categories, nil
}

// Of returns the image of each input. That is the one whose file_name, read as finder reads
// it, has the most last parts in common with the input's path. The error names the inputs
// that have none, that may be several, or of which two different ones are one image. An
// input with an error has the zero Image.
func (ids *IDs) Of(inputs []intake.Input) ([]eval.Image, error) {
	images := make([]eval.Image, len(inputs))
	by := map[int64]string{} // the path of an image
	var missing []string
	for i, in := range inputs {
		if in.Err != nil {
			continue
		}
		found := ids.find(in.Path)
		switch len(found) {
		case 0:
			missing = append(missing, in.Path)
			continue
		case 1:
			images[i] = ids.data.Images[found[0]]
		default:
			return nil, fmt.Errorf("--ids %s: %s may be the image %d, %s, or %d, %s", ids.path, in.Path,
				ids.data.Images[found[0]].ID, ids.data.Images[found[0]].FileName, ids.data.Images[found[1]].ID, ids.data.Images[found[1]].FileName)
		}
		other, taken := by[images[i].ID]
		if taken && absolute(other) != absolute(in.Path) {
			return nil, fmt.Errorf("--ids %s: %s and %s would both be the image %d, %s", ids.path, other, in.Path, images[i].ID, images[i].FileName)
		}
		by[images[i].ID] = in.Path
	}
	const most = 5
	switch n := len(missing); {
	case n > most:
		return nil, fmt.Errorf("--ids %s: no image there is named %s, nor as %d others", ids.path, strings.Join(missing[:most], ", "), n-most)
	case n > 0:
		return nil, fmt.Errorf("--ids %s: no image there is named %s", ids.path, strings.Join(missing, ", "))
	}
	return images, nil
}

// absolute returns a path as an absolute one, or as it is where that isn't known.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// find returns the images that a path may be.
func (ids *IDs) find(path string) []int {
	same := func(a, b string) bool { return a == b }
	alike := func(a, b string) bool { return folded(a) == folded(b) }
	parts := strings.Split(filepath.ToSlash(filepath.Clean(path)), "/")
	named := ids.named[folded(parts[len(parts)-1])]
	for _, equal := range []func(a, b string) bool{same, alike} {
		var found []int
		best := 1 // twice the parts in common, and 1 if these are the whole name
		for _, image := range named {
			common := inCommon(parts, image.parts, equal)
			rank := 2 * common
			if common == len(image.parts) {
				rank++
			}
			if rank > best {
				found, best = nil, rank
			}
			if rank == best && (len(found) == 0 || found[len(found)-1] != image.image) {
				found = append(found, image.image)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// inCommon returns how many last parts of two names are equal.
func inCommon(a, b []string, equal func(a, b string) bool) int {
	n := 0
	for n < min(len(a), len(b)) && equal(a[len(a)-1-n], b[len(b)-1-n]) {
		n++
	}
	return n
}

package evaluate

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/query"
)

// truth is a data set and the queries that stand for its categories.
type truth struct {
	*eval.Dataset
	groups   []string // names of the categories that only group others
	path     string
	digest   string           // sha256 of the file
	names    []string         // query name of each category
	category map[string]int64 // category id by query name
	objects  map[int64][]int  // indices of annotations that are no crowd, by image id
}

// readTruth reads annotations. Each image must have a name of its own.
func readTruth(path string) (*truth, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--annotations: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	d, err := eval.ReadDataset(io.TeeReader(file, hash), eval.Limits{})
	if err == nil {
		_, err = io.Copy(hash, file)
	}
	if err != nil {
		return nil, fmt.Errorf("--annotations %s: %w", path, err)
	}
	kept, groups := noGroups(d)
	d.Categories = kept
	t := &truth{Dataset: d, groups: groups, path: path, digest: hex.EncodeToString(hash.Sum(nil)), objects: map[int64][]int{}}
	if err := t.checkImages(); err != nil {
		return nil, fmt.Errorf("--annotations %s: %w", path, err)
	}
	t.nameQueries()
	for i, a := range d.Annotations {
		if !a.Crowd {
			t.objects[a.ImageID] = append(t.objects[a.ImageID], i)
		}
	}
	return t, nil
}

// warnings returns what to say of the data set.
func (t *truth) warnings() []string {
	if len(t.groups) == 0 {
		return t.Warnings()
	}
	return append(t.Warnings(), fmt.Sprintf("the category %q isn't asked for: it has no annotations and only groups others", t.groups[0]))
}

// noGroups returns a data set's categories without those that only group others, and the
// names of these. A category with annotations is no group.
func noGroups(d *eval.Dataset) (kept []eval.Category, groups []string) {
	annotated := map[int64]bool{}
	for _, a := range d.Annotations {
		annotated[a.CategoryID] = true
	}
	return query.NoGroups(d.Categories, func(c eval.Category) string { return c.Name }, func(c eval.Category) string {
		if annotated[c.ID] && c.Supercategory == "none" {
			return ""
		}
		return c.Supercategory
	})
}

// nameQueries sets a distinct query name for each category.
func (t *truth) nameQueries() {
	t.category = map[string]int64{}
	for _, c := range t.Categories {
		name := queryName(c.Name)
		if _, err := query.Parse(name); err != nil {
			name = "" // the name can't be a query
		}
		if _, taken := t.category[name]; taken || name == "" {
			name = strings.TrimSpace(fmt.Sprintf("%s (category %d)", name, c.ID))
		}
		t.names = append(t.names, name)
		t.category[name] = c.ID
	}
}

// asks returns the id of the category that a query in the record of a picture stands for.
func (t *truth) asks(picture, query string) (int64, error) {
	category, ok := t.category[query]
	if !ok {
		return 0, fmt.Errorf("the record of %s has the query %q, which is no category", picture, query)
	}
	return category, nil
}

// checkImages returns an error if there is nothing to measure, if a category has no name,
// which is what is asked for, or if an image has no name or the name of another image.
func (t *truth) checkImages() error {
	if len(t.Images) == 0 || len(t.Categories) == 0 {
		return fmt.Errorf("%w: there are %d images and %d categories, so there is nothing to measure", eval.ErrFormat, len(t.Images), len(t.Categories))
	}
	for _, c := range t.Categories {
		if strings.TrimSpace(c.Name) == "" {
			return fmt.Errorf("%w: the category with the id %d has no name, so it can't be asked for; name it, or leave it out", eval.ErrFormat, c.ID)
		}
	}
	named := map[string]int64{}
	for _, image := range t.Images {
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

// queryName returns the name of a category as a phrase. LVIS's "bow_(weapon)" becomes
// "bow (weapon)" and Objects365's "Lamp/Light" becomes "Lamp or Light", as in
// processed_name of ViLD (github.com/tensorflow/tpu). Characters that a query can't have
// are removed.
func queryName(name string) string {
	name = strings.NewReplacer("_", " ", "/", " or ", "|", " or ", "=", " ", "{}", " ").Replace(strings.ToValidUTF8(name, " "))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, name)
	return strings.TrimLeft(strings.Join(strings.Fields(name), " "), "@- ")
}

// asked returns the categories' queries as on the command line. phrasings is a file with
// other phrases for some of them, or "".
func (t *truth) asked(phrasings string) ([]string, error) {
	asked := slices.Clone(t.names)
	if phrasings == "" {
		return asked, nil
	}
	file, err := files.Open(phrasings)
	if err != nil {
		return nil, fmt.Errorf("--phrasings: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		if err := t.phrase(asked, line); err != nil {
			return nil, fmt.Errorf("--phrasings %s: line %d: %w", phrasings, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--phrasings %s: %w", phrasings, err)
	}
	return asked, nil
}

// phrase sets the query in asked for one line NAME=PHRASE|PHRASE.
func (t *truth) phrase(asked []string, line string) error {
	name, list, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("%q: want NAME=PHRASE|PHRASE", line)
	}
	name = strings.TrimSpace(name)
	k := slices.IndexFunc(t.Categories, func(c eval.Category) bool { return c.Name == name })
	if k < 0 {
		k = slices.Index(t.names, queryName(name))
	}
	if k < 0 {
		return fmt.Errorf("no category is named %q", name)
	}
	if asked[k] != t.names[k] {
		return fmt.Errorf("%q has a line already; put its phrases in one", name)
	}
	asked[k] += "=" + strings.ReplaceAll(list, "{}", t.names[k])
	return nil
}

// counted returns how many detections of a picture count: maxDets of pycocotools, or
// max_dets of LVIS.
func (t *truth) counted() int {
	if t.Federated {
		return 300
	}
	return 100
}

// boxes returns the distinct boxes of an image's objects, without crowds.
func (t *truth) boxes(image int64) []box.Box {
	var boxes []box.Box
	for _, i := range t.objects[image] {
		if b := t.Annotations[i].BBox.Box(); !slices.Contains(boxes, b) {
			boxes = append(boxes, b)
		}
	}
	return boxes
}

// fits returns an error if a picture doesn't have the annotated size, because its boxes
// would be in the wrong places. turned says that the picture is not as it is stored.
func fits(image eval.Image, width, height int, turned bool) error {
	if image.Width > 0 && image.Height > 0 && (image.Width != width || image.Height != height) {
		if turned && image.Width == height && image.Height == width {
			return fmt.Errorf("%w: it is %d x %d pixels when upright, and its annotations are of the stored %d x %d: measure with --ignore-exif", errSize, width, height, image.Width, image.Height)
		}
		return fmt.Errorf("%w: it is %d x %d pixels when upright, and its annotations are for %d x %d", errSize, width, height, image.Width, image.Height)
	}
	return nil
}

// errSize is the error of a picture of the wrong size.
var errSize = errors.New("not the annotated picture")

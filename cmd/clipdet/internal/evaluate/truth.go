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
	"github.com/clipdet/clipdet/cmd/clipdet/internal/query"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
)

// truth is a data set and the queries that stand for its categories.
type truth struct {
	*eval.Dataset
	path     string
	digest   string           // sha256 of the file
	names    []string         // of the query of each category
	category map[string]int64 // ids by the query's name
	objects  map[int64][]int  // annotations that are no crowd, by image
}

// readTruth reads annotations, which have to name their pictures.
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
	t := &truth{Dataset: d, path: path, digest: hex.EncodeToString(hash.Sum(nil)), objects: map[int64][]int{}}
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

// nameQueries gives each category a query that no other has.
func (t *truth) nameQueries() {
	t.category = map[string]int64{}
	for _, c := range t.Categories {
		name := queryName(c.Name)
		if _, err := query.Parse(name); err != nil {
			name = "" // nothing is left that could be asked
		}
		if _, taken := t.category[name]; taken || name == "" {
			name = strings.TrimSpace(fmt.Sprintf("%s (category %d)", name, c.ID))
		}
		t.names = append(t.names, name)
		t.category[name] = c.ID
	}
}

// asks is the category that a query of a picture's record asks for.
func (t *truth) asks(picture, query string) (int64, error) {
	category, ok := t.category[query]
	if !ok {
		return 0, fmt.Errorf("the record of %s has the query %q, which is no category", picture, query)
	}
	return category, nil
}

// checkImages makes sure that a picture's name stands for one image.
func (t *truth) checkImages() error {
	if len(t.Images) == 0 || len(t.Categories) == 0 {
		return fmt.Errorf("%w: there are %d images and %d categories, so there is nothing to measure", eval.ErrFormat, len(t.Images), len(t.Categories))
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

// queryName is a category's name as a phrase: LVIS has "bow_(weapon)" and Objects365 has "Lamp/Light", which are asked
// as "bow (weapon)" and "Lamp or Light" (as in ViLD's processed_name, github.com/tensorflow/tpu). What a query can't have
// goes.
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

// asked are the queries of the categories, as on the command line; the file says how some are phrased.
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

// phrase takes a line NAME=PHRASE|PHRASE for the category of that name.
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

// counted is how many detections of a picture count: pycocotools' maxDets, or LVIS's max_dets.
func (t *truth) counted() int {
	if t.Federated {
		return 300
	}
	return 100
}

// boxes are those of an image's objects, each once.
func (t *truth) boxes(image int64) []box.Box {
	var boxes []box.Box
	for _, i := range t.objects[image] {
		if b := t.Annotations[i].BBox.Box(); !slices.Contains(boxes, b) {
			boxes = append(boxes, b)
		}
	}
	return boxes
}

// fits says what is wrong with a picture of another size than the annotated one: boxes would be in the wrong places.
func fits(image eval.Image, width, height int) error {
	if image.Width > 0 && image.Height > 0 && (image.Width != width || image.Height != height) {
		return fmt.Errorf("%w: it is %d x %d pixels when upright, and its annotations are for %d x %d", errSize, width, height, image.Width, image.Height)
	}
	return nil
}

// errSize is what a picture of the wrong size fails with.
var errSize = errors.New("not the annotated picture")

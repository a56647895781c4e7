package evaluate

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

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

// readTruth reads annotations that something can be measured with (query.OfDataset).
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
	of, err := query.OfDataset(d)
	if err != nil {
		return nil, fmt.Errorf("--annotations %s: %w", path, err)
	}
	d.Categories = of.Asked
	t := &truth{
		Dataset: d, groups: of.Groups, path: path, digest: hex.EncodeToString(hash.Sum(nil)),
		names: of.Names, category: map[string]int64{}, objects: map[int64][]int{},
	}
	for i, c := range of.Asked {
		t.category[of.Names[i]] = c.ID
	}
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

// asks returns the id of the category that a query in the record of a picture stands for.
func (t *truth) asks(picture, query string) (int64, error) {
	category, ok := t.category[query]
	if !ok {
		return 0, fmt.Errorf("the record of %s has the query %q, which is no category", picture, query)
	}
	return category, nil
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
		k = slices.Index(t.names, query.OfCategory(name))
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

// fits is CheckSize of an image. turned says that the picture is not as it is stored, and
// may have the annotated size with --ignore-exif.
func fits(image eval.Image, width, height int, turned bool) error {
	if turned && width != height && image.Width == height && image.Height == width {
		return fmt.Errorf("%w: it is %d x %d pixels when upright, and its annotations are of the stored %d x %d: measure with --ignore-exif", eval.ErrSize, width, height, image.Width, image.Height)
	}
	return image.CheckSize(width, height)
}

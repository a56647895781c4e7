package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

// Names of YOLO's files, as Ultralytics' tools have them.
const (
	imagesFolder = "images"
	labelsFolder = "labels"
	classesFile  = "classes.txt"
)

// NewYOLOWriter returns a Writer of YOLO labels in the folder dir. It makes dir if it is
// missing, and writes dir/classes.txt: the name of a class on each line. The Writer
// writes dir/labels/FOLDER/NAME.txt, one line for each detection of a picture:
//
//	class cx cy width height confidence
//
// class is the place in classes from 0. The next four are the box's centre and size as
// shares of the picture's width and height, in [0,1] with nine decimals. confidence is
// the score. Ultralytics' predict writes the same with save_txt and save_conf
// (ultralytics/engine/results.py, Results.save_txt), except that here a picture without
// detections has an empty file, so that it isn't taken for one that failed.
//
// FOLDER is the picture's folder below the last folder named images of its path, as
// Ultralytics' data sets pair images/FOLDER/NAME.jpg with labels/FOLDER/NAME.txt
// (ultralytics/data/utils.py, img2label_paths). In a path without such a folder it is the
// folder below root, the working directory if root is empty. A URL and a picture that
// isn't below root have no FOLDER.
//
// [Names] gives NAME to each record of a FOLDER in order. A record with an error takes a
// name but has no file. A file appears when it is complete, and replaces one of the same
// name.
//
// NewYOLOWriter fails with fs.ErrExist if dir has labels and classes.txt lists other
// classes: the numbers in those labels would change their meaning. It fails with
// ErrRecord if two classes are the same or one is empty or has a line break. The Writer
// fails with ErrRecord for another query, for a picture without a width, a height or a
// file name, and for a box that leaves the picture. It doesn't follow a link out of dir.
func NewYOLOWriter(dir, root string, classes []string) (Writer, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	y := &yoloWriter{dir: dir, root: root, classes: make(map[string]int, len(classes)), names: map[string]*Names{}}
	var list strings.Builder
	for i, class := range classes {
		if _, ok := y.classes[class]; ok || class == "" || strings.ContainsAny(class, "\r\n") {
			return nil, fmt.Errorf("%w: the class %q is there twice, is empty or has a line break, and %s has one a line", ErrRecord, class, classesFile)
		}
		y.classes[class] = i
		list.WriteString(class + "\n")
	}
	if err := os.MkdirAll(filepath.Join(dir, labelsFolder), 0o755); err != nil {
		return nil, err
	}
	if err := sameClasses(dir, list.String()); err != nil {
		return nil, err
	}
	return y, files.Write(filepath.Join(dir, classesFile), 0o666, []byte(list.String()))
}

// sameClasses fails if there are labels of another list of classes.
func sameClasses(dir, list string) error {
	before, err := os.ReadFile(filepath.Join(dir, classesFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(before) == list {
		return nil
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Join(dir, labelsFolder), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".txt" {
			return fmt.Errorf("%w: %s has labels of other classes; remove them, or choose another folder", fs.ErrExist, dir)
		}
		return err
	})
}

type yoloWriter struct {
	dir, root string
	classes   map[string]int
	names     map[string]*Names // by the folder in lower case
}

// folder returns the folder of a picture's labels, "." for labels itself.
func (y *yoloWriter) folder(image string) string {
	if strings.Contains(image, "://") {
		return "."
	}
	parts := strings.Split(filepath.ToSlash(filepath.Dir(image)), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == imagesFolder {
			return filepath.Join(".", filepath.Join(parts[i+1:]...))
		}
	}
	path, err := filepath.Abs(image)
	if err == nil {
		path, err = filepath.Rel(y.root, path)
	}
	if err != nil || !filepath.IsLocal(path) {
		return "."
	}
	return filepath.Dir(path)
}

// name returns the name of the next picture in a folder.
func (y *yoloWriter) name(folder, image string) string {
	key := strings.ToLower(folder)
	if y.names[key] == nil {
		y.names[key] = new(Names)
	}
	return y.names[key].Of(image)
}

// makeFolder makes a folder of labels, unless a link leads out of it.
func (y *yoloWriter) makeFolder(folder string) error {
	if folder == "." {
		return nil
	}
	labels, err := os.OpenRoot(filepath.Join(y.dir, labelsFolder))
	if err != nil {
		return err
	}
	return errors.Join(labels.MkdirAll(folder, 0o755), labels.Close())
}

func (y *yoloWriter) Write(r Record) error {
	folder := y.folder(r.Image)
	name := y.name(folder, r.Image)
	if r.Error != "" {
		return nil // the format has no place for it
	}
	if err := r.writable(); err != nil {
		return err
	}
	if r.Width == 0 || r.Height == 0 {
		return fmt.Errorf("%w: %q is %d x %d pixels, and boxes are shares of that", ErrRecord, r.Image, r.Width, r.Height)
	}
	if name == string(filepath.Separator) {
		return fmt.Errorf("%w: %q has no file name", ErrRecord, r.Image)
	}
	var labels strings.Builder
	width, height := float64(r.Width), float64(r.Height)
	for i, d := range r.Detections {
		class, ok := y.classes[d.Query]
		if !ok {
			return fmt.Errorf("%w: %q has the query %q, which is no class", ErrRecord, r.Image, d.Query)
		}
		x0, y0, x1, y1 := float64(d.Box.X0), float64(d.Box.Y0), float64(d.Box.X1), float64(d.Box.Y1)
		if x0 < 0 || y0 < 0 || x1 > width || y1 > height {
			return fmt.Errorf("%w: %q, detection %d: the box %v leaves the picture, %d x %d pixels", ErrRecord, r.Image, i+1, d.Box, r.Width, r.Height)
		}
		fmt.Fprintf(&labels, "%d %.9f %.9f %.9f %.9f %s\n", class, (x0+x1)/2/width, (y0+y1)/2/height, (x1-x0)/width, (y1-y0)/height,
			strconv.FormatFloat(float64(d.Score), 'g', -1, 32))
	}
	if err := y.makeFolder(folder); err != nil {
		return err
	}
	return files.Write(filepath.Join(y.dir, labelsFolder, folder, name+".txt"), 0o666, []byte(labels.String()))
}

func (y *yoloWriter) Close() error { return nil }

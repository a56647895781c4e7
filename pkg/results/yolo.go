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
	labelsFolder = "labels"
	classesFile  = "classes.txt"
)

// NewYOLOWriter returns a Writer of YOLO labels in the folder dir. It makes dir if it is
// missing, and writes dir/classes.txt: the name of a class on each line. The Writer
// writes dir/labels/NAME.txt, one line for each detection of a picture:
//
//	class cx cy width height confidence
//
// class is the place in classes from 0. The next four are the box's centre and size as
// shares of the picture's width and height, in [0,1] with nine decimals. confidence is
// the score. Ultralytics' predict writes the same with save_txt and save_conf
// (ultralytics/engine/results.py, Results.save_txt), except that here a picture without
// detections has an empty file, so that it isn't taken for one that failed.
//
// [Names] gives NAME to each record in order. A record with an error takes a name but has
// no file. A file appears when it is complete, and replaces one of the same name.
//
// NewYOLOWriter fails with fs.ErrExist if dir has labels and classes.txt lists other
// classes: the numbers in those labels would change their meaning. It fails with
// ErrRecord if two classes are the same or one is empty or has a line break. The Writer
// fails with ErrRecord for another query, for a picture without a width, a height or a
// file name, and for a box that leaves the picture.
func NewYOLOWriter(dir string, classes []string) (Writer, error) {
	y := &yoloWriter{dir: dir, classes: make(map[string]int, len(classes))}
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
	files, listErr := os.ReadDir(filepath.Join(dir, labelsFolder))
	if err := errors.Join(err, listErr); err != nil {
		return err
	}
	for _, file := range files {
		if filepath.Ext(file.Name()) == ".txt" {
			return fmt.Errorf("%w: %s has labels of other classes; remove them, or choose another folder", fs.ErrExist, dir)
		}
	}
	return nil
}

type yoloWriter struct {
	dir     string
	classes map[string]int
	names   Names
}

func (y *yoloWriter) Write(r Record) error {
	name := y.names.Of(r.Image)
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
	return files.Write(filepath.Join(y.dir, labelsFolder, name+".txt"), 0o666, []byte(labels.String()))
}

func (y *yoloWriter) Close() error { return nil }

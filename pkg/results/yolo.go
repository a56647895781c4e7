package results

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// The files of YOLO's format in its folder, as Ultralytics' tools name them.
const (
	labelsFolder = "labels"
	classesFile  = "classes.txt"
)

// NewYOLOWriter writes YOLO's labels into the folder dir, which it makes where it is
// missing: dir/classes.txt, at once, has the name of a class on each line, and
// dir/labels/NAME.txt a line for each detection of a picture,
//
//	class cx cy width height confidence
//
// where class is the place in classes from 0, the next four are the box's centre and
// size as shares of the picture's width and height, in [0,1] with nine decimals, and
// confidence is the score. It is what Ultralytics' predict writes with save_txt and
// save_conf (ultralytics/engine/results.py, Results.save_txt), but that a picture
// without detections has an empty file, so that it isn't taken for one that failed.
//
// NAME is what [Names] gives for the records in their order, those with an error among
// them, which have no file. A file appears when it is complete, in the place of one
// that has its name.
//
// It fails with fs.ErrExist where dir has labels of other classes, whose numbers would
// stand for other names then, and with ErrRecord where two classes are the same or one
// is empty or has a line break; and so does writing a record with another query, without a width or height,
// or with a box that leaves the picture.
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
	return y, writeFile(filepath.Join(dir, classesFile), list.String())
}

// sameClasses fails where there are labels and the list of their classes is another.
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
	return writeFile(filepath.Join(y.dir, labelsFolder, name+".txt"), labels.String())
}

func (y *yoloWriter) Close() error { return nil }

// writeFile gives the file its name when it is complete. A link of that name is replaced, not followed.
func writeFile(path, data string) error {
	partial := filepath.Join(filepath.Dir(path), ".partial-"+rand.Text())
	temp, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = temp.WriteString(data)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what is left of a failure; err says more
	}
	return err
}

// ReadYOLO reads the labels in the folder dir, as NewYOLOWriter lays it out, as one
// record for each file in the order of the names. pictures tells what NAME stands for
// and how large it is; [Names] gives the names. A box without a confidence, as people
// draw them, has score 1. A label gives the box and the score; the rest is zero. Edges
// are as they were to within 1e-9 of the picture's side, and then rounded to float32.
//
// It fails with ErrFormat, which names file and line, also where pictures lack a name
// or have no size for it, with ErrLimit, or as the file system does. A link out of dir
// isn't followed, and what is no regular file is ErrFormat.
func ReadYOLO(dir string, pictures map[string]Picture, limits Limits) ([]Record, error) {
	limits = limits.orDefault()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var classes []string
	if err := readLines(root, classesFile, limits, func(line string) error {
		if len(classes) == 0 {
			line = strings.TrimPrefix(line, "\ufeff") // some editors put a byte order mark there
		}
		if line == "" {
			return fmt.Errorf("%w: a class has no name", ErrFormat)
		}
		if err := limits.check(len(classes) + 1); err != nil {
			return err
		}
		classes = append(classes, line)
		return nil
	}); err != nil {
		return nil, err
	}
	files, err := fs.ReadDir(root.FS(), labelsFolder)
	if err != nil {
		return nil, err
	}
	var records []Record
	count := 0
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), ".txt")
		if !ok || file.IsDir() {
			continue
		}
		p, ok := pictures[name]
		if !ok || p.Width <= 0 || p.Height <= 0 {
			return nil, fmt.Errorf("%w: %s stands for no picture whose size is known", ErrFormat, filepath.Join(dir, labelsFolder, file.Name()))
		}
		r := Record{Image: p.Image, Width: p.Width, Height: p.Height}
		if err := readLines(root, filepath.Join(labelsFolder, file.Name()), limits, func(line string) error {
			count++
			if err := limits.check(count); err != nil {
				return err
			}
			d, err := parseLabel(line, classes, p)
			r.Detections = append(r.Detections, d)
			return err
		}); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// readLines gives each line of a file, without its end.
func readLines(root *os.Root, path string, limits Limits, each func(string) error) error {
	file, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe's opening waits for its writer
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: it is not a regular file", filepath.Join(root.Name(), path), ErrFormat)
	}
	g := &guard{r: file, limits: limits}
	buffered := bufio.NewReader(g)
	for n := 1; ; n++ {
		line, err := buffered.ReadBytes('\n')
		g.start += int64(len(line))
		if len(line) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			err = g.fail(err)
		} else {
			line = bytes.TrimSuffix(line, []byte("\n"))
			err = each(string(bytes.TrimSuffix(line, []byte("\r"))))
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", filepath.Join(root.Name(), path), n, err)
		}
	}
}

// parseLabel reads a line of a label file.
func parseLabel(line string, classes []string, p Picture) (detect.Detection, error) {
	fields := strings.Fields(line)
	if len(fields) != 5 && len(fields) != 6 {
		return detect.Detection{}, fmt.Errorf("%w: %d fields, want class cx cy width height and maybe a confidence", ErrFormat, len(fields))
	}
	class, err := strconv.Atoi(fields[0])
	if err != nil || class < 0 || class >= len(classes) {
		return detect.Detection{}, fmt.Errorf("%w: the class is %q, want a number from 0 to %d", ErrFormat, fields[0], len(classes)-1)
	}
	var shares [4]float64
	for i := range shares {
		if shares[i], err = strconv.ParseFloat(fields[i+1], 64); err != nil || !(shares[i] >= 0 && shares[i] <= 1) {
			return detect.Detection{}, fmt.Errorf("%w: field %d is %q, want a share in [0,1]", ErrFormat, i+2, fields[i+1])
		}
	}
	d := detect.Detection{Query: classes[class], Score: 1}
	if len(fields) == 6 {
		score, err := strconv.ParseFloat(fields[5], 32)
		if err != nil {
			return detect.Detection{}, fmt.Errorf("%w: the confidence is %q, want a number", ErrFormat, fields[5])
		}
		d.Score = float32(score)
	}
	width, height := float64(p.Width), float64(p.Height)
	cx, cy, w, h := shares[0]*width, shares[1]*height, shares[2]*width, shares[3]*height
	// Half of the last decimal may lead out of the picture.
	d.Box = box.Box{X0: float32(cx - w/2), Y0: float32(cy - h/2), X1: float32(cx + w/2), Y1: float32(cy + h/2)}.Clip(p.Width, p.Height)
	one := Record{Image: p.Image, Detections: []detect.Detection{d}}
	if err := one.check(); err != nil {
		return detect.Detection{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return d, nil
}

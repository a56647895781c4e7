package results

import (
	"bufio"
	"bytes"
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

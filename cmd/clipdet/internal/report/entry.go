package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/image/draw"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/overlay"
)

// writer writes entries one at a time: a line of JSON each, and a picture.
type writer struct {
	out       *bufio.Writer
	folder    *folder
	side      int
	names     names
	written   int
	low, high float64 // least and greatest score
}

// names gives each text a number, because most texts occur in most entries.
type names struct {
	list []string
	at   map[string]int
}

func (n *names) number(text string) int {
	text = strings.ToValidUTF8(text, "\ufffd")
	i, ok := n.at[text]
	if !ok {
		i = len(n.list)
		n.list = append(n.list, text)
		n.at[text] = i
	}
	return i
}

// entryJSON is an entry as page.js reads it. Texts are replaced by their numbers.
type entryJSON struct {
	File    string `json:"file"`
	Picture string `json:"picture"` // "": no picture
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	// x0, y0, x1, y1, objectness
	Proposals [][5]float64 `json:"proposals"`
	Of        int          `json:"of"` // number of proposals; Proposals has the best
	// query, x0, y0, x1, y1, score, cosine, probability, objectness, phrase, runner-up,
	// kind, annotation, IoU
	Detections [][14]float64 `json:"detections"`
	// category, x0, y0, x1, y1, kind, cause
	Annotations [][7]float64 `json:"annotations"`
}

func (w *writer) add(e *Entry) error {
	if e.Width < 1 || e.Height < 1 {
		return fmt.Errorf("%w: its size is %d x %d pixels", ErrContent, e.Width, e.Height)
	}
	to, err := w.compact(e)
	if err != nil {
		return err
	}
	if e.Picture != nil {
		name := fmt.Sprintf("%05d.jpg", w.written+1)
		if err := writePicture(filepath.Join(w.folder.images(), name), e.Picture, w.side); err != nil {
			return err
		}
		to.Picture = imagesName + "/" + name
	}
	// Marshal escapes <, > and &, so no text can end the script that contains it.
	line, err := json.Marshal(to)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	w.written++
	_, err = w.out.Write(append(line, '\n'))
	return err
}

func (w *writer) compact(e *Entry) (*entryJSON, error) {
	to := &entryJSON{
		File: strings.ToValidUTF8(e.File, "\ufffd"), Width: e.Width, Height: e.Height, Of: len(e.Proposals),
		Proposals: [][5]float64{}, Detections: [][14]float64{}, Annotations: [][7]float64{},
	}
	text := func(s string) float64 { return float64(w.names.number(s)) }
	for i, p := range e.Proposals[:min(len(e.Proposals), DrawnProposals)] {
		b, ok := edges(p.Box, e)
		if !ok || !finite(float64(p.Objectness)) {
			return nil, fmt.Errorf("%w: proposal %d is %v of objectness %v", ErrContent, i, p.Box, p.Objectness)
		}
		to.Proposals = append(to.Proposals, [5]float64{b[0], b[1], b[2], b[3], fraction(float64(p.Objectness))})
	}
	for i, d := range e.Detections {
		b, ok := edges(d.Box, e)
		for _, v := range []float64{float64(d.Score), float64(d.Cosine), float64(d.Probability), float64(d.Objectness), d.IoU} {
			ok = ok && finite(v)
		}
		if !ok || d.Annotation < -1 || d.Annotation >= len(e.Annotations) {
			return nil, fmt.Errorf("%w: detection %d has a number that isn't finite, or no such annotation: %+v", ErrContent, i, d)
		}
		w.low, w.high = min(w.low, float64(d.Score)), max(w.high, float64(d.Score))
		to.Detections = append(to.Detections, [14]float64{
			text(d.Query), b[0], b[1], b[2], b[3], fraction(float64(d.Score)), fraction(float64(d.Cosine)),
			fraction(float64(d.Probability)), fraction(float64(d.Objectness)), text(d.Phrase), text(d.RunnerUp),
			text(string(d.Kind)), float64(d.Annotation), fraction(d.IoU),
		})
	}
	for i, a := range e.Annotations {
		b, ok := edges(a.Box, e)
		if !ok {
			return nil, fmt.Errorf("%w: annotation %d is %v", ErrContent, i, a.Box)
		}
		to.Annotations = append(to.Annotations, [7]float64{
			text(a.Category), b[0], b[1], b[2], b[3], text(string(a.Kind)), text(string(a.Cause)),
		})
	}
	return to, nil
}

// edges returns the edges of the part of b inside the picture, rounded to 0.1 pixels. ok
// is false if b is not a valid box.
func edges(b box.Box, e *Entry) (to [4]float64, ok bool) {
	if !b.Valid() {
		return to, false
	}
	b = b.Clip(e.Width, e.Height)
	for i, v := range []float32{b.X0, b.Y0, b.X1, b.Y1} {
		to[i] = math.Round(float64(v)*10) / 10
	}
	return to, true
}

func fraction(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// finite reports whether v is neither infinite nor NaN.
func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }

// jpegQuality keeps the edges of letters and drawings clean at about 100 kB per picture.
const jpegQuality = 85

// writePicture writes a JPEG whose longest side is at most side pixels.
func writePicture(path string, picture image.Image, side int) error {
	// Scaling is fast from an RGBA.
	from := overlay.Original(picture)
	size := scaled(from.Rect.Size(), side)
	if size.X < 1 || size.Y < 1 {
		return fmt.Errorf("%w: the picture is empty", ErrContent)
	}
	to := from
	if size != from.Rect.Size() {
		to = image.NewRGBA(image.Rectangle{Max: size})
		draw.CatmullRom.Scale(to, to.Rect, from, from.Rect, draw.Src, nil)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := jpeg.Encode(file, to, &jpeg.Options{Quality: jpegQuality}); err != nil {
		_ = file.Close() // best effort; err is the cause
		return fmt.Errorf("%s: %w", path, err)
	}
	return file.Close()
}

// scaled returns the size scaled to fit into a square. A smaller size is returned
// unchanged.
func scaled(size image.Point, side int) image.Point {
	longest := max(size.X, size.Y)
	if longest <= side {
		return size
	}
	fit := func(v int) int { return max(1, int(math.Round(float64(v)*float64(side)/float64(longest)))) }
	return image.Pt(fit(size.X), fit(size.Y))
}

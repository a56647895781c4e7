// Package overlay draws the results of a detector: the picture alone, the picture with
// its proposals, and the picture with its named detections.
//
// Each function draws on a copy, whose top-left corner is at (0, 0), and doesn't change
// its image. Lines and letters grow with the picture, so that they are as easy to see in
// a picture of 8000 pixels as in one of 500. Letters have at least 10 pixels. A name that
// is too long for the picture is cut and gets an ellipsis. All functions are safe for
// concurrent use.
package overlay

import (
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
)

// Mark is a box to draw.
type Mark struct {
	// Box is in pixels of the picture, from its top-left corner. The part inside the
	// picture is drawn. A box that lies outside or isn't Valid is not drawn.
	Box box.Box
	// Score orders the boxes. Detections shows it in the tag.
	Score float64
	// Name is shown in the tag before the score, in any script that a font has.
	Name string
	// Group selects the colour of a detection, for example the number of its query. A
	// group has the same colour in every picture.
	Group int
}

// Original returns the picture without marks.
func Original(img image.Image) *image.RGBA {
	b := img.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Rect, img, b.Min, draw.Src)
	return out
}

// Proposals returns the picture with a frame for each mark. The best by Score are wide,
// yellow and on top, and the worst thin, violet and faint. Name and Group are ignored.
func Proposals(img image.Image, marks []Mark) *image.RGBA {
	out := Original(img)
	line := lineWidth(out.Rect)
	order := worstFirst(marks)
	for rank, i := range order {
		strength := 1.0
		if len(order) > 1 {
			// The power makes only the best few of hundreds of boxes stand out.
			strength = math.Pow(float64(rank)/float64(len(order)-1), 5)
		}
		opacity := 0.25 + 0.75*strength
		width := line * (0.5 + 0.7*strength)
		f, ok := newFrame(marks[i].Box, out.Rect, width)
		if !ok {
			continue
		}
		f.grown(width/2).draw(out, outline, 0.6*strength)
		f.draw(out, mix(faint, strong, strength), opacity)
	}
	return out
}

// Detections returns the picture with a frame for each mark, in its group's colour, and a
// tag with its name and score. A tag lies inside the picture, and beside other tags if
// there is room. The best marks by Score are on top. Letters that the built-in font
// doesn't have are drawn by the first of fonts that has them, or as boxes.
func Detections(img image.Image, marks []Mark, fonts ...*Font) *image.RGBA {
	out := Original(img)
	line := lineWidth(out.Rect)
	order := worstFirst(marks)
	frames := make([]frame, 0, len(order))
	shown := order[:0]
	for _, i := range order {
		f, ok := newFrame(marks[i].Box, out.Rect, line)
		if !ok {
			continue
		}
		f.grown(line/2).draw(out, outline, 0.6)
		f.draw(out, groupColour(marks[i].Group), 1)
		frames, shown = append(frames, f), append(shown, i)
	}
	// The best are placed first.
	letters := newLetters(out.Rect, fonts)
	var tags []tag
	for at := len(shown) - 1; at >= 0; at-- {
		m := marks[shown[at]]
		if t, ok := letters.tag(m.Name, m.Score, groupColour(m.Group)); ok {
			t.place(at, frames, out.Rect, tags)
			tags = append(tags, t)
		}
	}
	for _, t := range slices.Backward(tags) {
		letters.draw(out, t)
	}
	return out
}

// worstFirst returns the indices of marks in the order of drawing.
func worstFirst(marks []Mark) []int {
	order := make([]int, len(marks))
	for i := range order {
		order[i] = len(marks) - 1 - i // of equal scores, the first is on top
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(marks[a].Score, marks[b].Score) })
	return order
}

// scale returns the side of a square with the picture's area.
func scale(r image.Rectangle) float64 {
	return math.Sqrt(float64(r.Dx()) * float64(r.Dy()))
}

// lineWidth returns the width of a line: 2 pixels in a picture of scale 500.
func lineWidth(r image.Rectangle) float64 { return max(1, scale(r)/250) }

var outline = color.RGBA{A: 255}

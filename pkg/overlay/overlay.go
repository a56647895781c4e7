// Package overlay draws what a detector found: the picture alone, the picture with
// its proposals, and the picture with its named detections.
//
// Each function draws on a copy, whose top-left corner is at (0, 0), and leaves the
// image that it gets as it is. Lines and letters grow with the picture, so that they
// are as easy to see in one of 8000 pixels as in one of 500; letters are never below
// 10 pixels, and a name that is too long for the picture is cut with an ellipsis.
// Functions are safe for concurrent use.
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

// Mark is a box to be drawn.
type Mark struct {
	// Box is in pixels of the picture, from its top-left corner. The part of it
	// inside the picture is drawn; a box outside, or one that is not Valid, is not.
	Box box.Box
	// Score is what boxes are ordered by, and, in Detections, what the tag says.
	Score float64
	// Name is what the tag says before the score. The letters are those of the Go
	// fonts: Latin, Greek and Cyrillic. Others, such as Chinese, show as empty frames.
	Name string
	// Group chooses the colour of a detection, such as the number of its query. The
	// same group has the same colour in each picture.
	Group int
}

// Original is the picture without marks.
func Original(img image.Image) *image.RGBA {
	b := img.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Rect, img, b.Min, draw.Src)
	return out
}

// Proposals draws a frame for each mark, the stronger the better its rank by Score:
// the best are wide, yellow and on top, and the worst thin, violet and faint. Name
// and Group don't matter.
func Proposals(img image.Image, marks []Mark) *image.RGBA {
	out := Original(img)
	line := lineWidth(out.Rect)
	order := worstFirst(marks)
	for rank, i := range order {
		strength := 1.0
		if len(order) > 1 {
			// To a power, as with hundreds of boxes only the best few can stand out.
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

// Detections draws a frame in its group's colour for each mark, and a tag with its
// name and score, inside the picture and, where there is room, beside other tags.
// The best by Score are on top.
func Detections(img image.Image, marks []Mark) *image.RGBA {
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
	// The best choose their place first.
	letters := newLetters(out.Rect)
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

// worstFirst is the places of the marks in the order of drawing.
func worstFirst(marks []Mark) []int {
	order := make([]int, len(marks))
	for i := range order {
		order[i] = len(marks) - 1 - i // of equals, the first is on top
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(marks[a].Score, marks[b].Score) })
	return order
}

// scale is the picture's size as one number, the side of a square of its area.
func scale(r image.Rectangle) float64 {
	return math.Sqrt(float64(r.Dx()) * float64(r.Dy()))
}

// lineWidth is 2 pixels in a picture of 500.
func lineWidth(r image.Rectangle) float64 { return max(1, scale(r)/250) }

var outline = color.RGBA{A: 255}

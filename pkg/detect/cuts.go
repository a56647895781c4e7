package detect

import (
	"image"
	"iter"
)

// cuts are the rectangles of several pictures that CLIP is to see, the same one only once:
// proposals that round to the same pixels, as those of small things do, are one.
type cuts struct {
	different []cut   // picture by picture
	rows      []int64 // for each that was added, its place in different
	places    map[cut]int64
}

type cut struct {
	picture int // its place among the pictures
	rect    image.Rectangle
}

// add appends a rectangle. The pictures come one after the other.
func (c *cuts) add(picture int, rect image.Rectangle) {
	if c.places == nil {
		c.places = make(map[cut]int64)
	}
	own := cut{picture, rect}
	place, ok := c.places[own]
	if !ok {
		place = int64(len(c.different))
		c.places[own] = place
		c.different = append(c.different, own)
	}
	c.rows = append(c.rows, place)
}

// between gives the rectangles different[low:high] of each picture that has some.
func (c *cuts) between(low, high int) iter.Seq2[int, []image.Rectangle] {
	return func(yield func(int, []image.Rectangle) bool) {
		for low < high {
			picture := c.different[low].picture
			var rects []image.Rectangle
			for low < high && c.different[low].picture == picture {
				rects = append(rects, c.different[low].rect)
				low++
			}
			if !yield(picture, rects) {
				return
			}
		}
	}
}

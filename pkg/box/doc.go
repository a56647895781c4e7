// Package box is the geometry of axis-aligned boxes: area, overlap, clipping and rounding
// to whole pixels.
//
// A box is given by its edges, not by the indices of its outermost pixels: the
// box {0, 0, 1, 1} covers exactly the top left pixel. x grows to the right, y
// grows downward, and the unit is the pixel of the upright image, so a box may
// end between two pixels.
//
// Degenerate boxes are values like any other. A box without interior (an edge
// pair that is equal, reversed or NaN) is empty: its area and its IoU with any
// box, itself included, are 0, and its intersection with any box is the zero
// Box. Nothing in this package modifies its arguments; all of it is safe for
// concurrent use.
package box

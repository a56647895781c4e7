// Package box implements the geometry of axis-aligned boxes: area, overlap, clipping and
// rounding to whole pixels.
//
// A box is given by its edges, not by the indices of its outermost pixels: the box
// {0, 0, 1, 1} covers exactly the top left pixel. x grows to the right and y grows
// downward. The unit is the pixel of the upright image. An edge may lie within a pixel.
//
// A box without interior, because two edges are equal, reversed or NaN, is empty. Its
// area is 0, its IoU with any box is 0, and its intersection with any box is the zero
// Box. Only UnmarshalJSON changes its receiver; all else is safe for concurrent use.
package box

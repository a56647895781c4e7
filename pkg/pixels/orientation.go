package pixels

// upright undoes an EXIF orientation. It returns m itself if the orientation is 1.
//
//	1 upright            2 mirrored
//	3 turned by 180°     4 2 and 3
//	5 rows are columns   6 the top is on the right
//	7 5 and 3            8 the top is on the left
func (m *RGB) upright(orientation int) *RGB {
	w, h := m.Width, m.Height
	// The result's pixel (x, y) is m's pixel start + x*right + y*down.
	var start, right, down int
	switch orientation {
	case 2:
		start, right, down = w-1, -1, w
	case 3:
		start, right, down = w*h-1, -1, -w
	case 4:
		start, right, down = w*(h-1), 1, -w
	case 5:
		start, right, down = 0, w, 1
	case 6:
		start, right, down = w*(h-1), -w, 1
	case 7:
		start, right, down = w*h-1, -w, -1
	case 8:
		start, right, down = w-1, w, -1
	default:
		return m
	}
	if orientation >= 5 {
		w, h = h, w
	}
	out := newRGB(w, h)
	// Squares, because a whole column of a large picture misses the cache at each pixel.
	const side = 64
	for top := 0; top < out.Height; top += side {
		for left := 0; left < out.Width; left += side {
			for y := top; y < min(top+side, out.Height); y++ {
				from := start + left*right + y*down
				row := out.row(y)
				for x := left; x < min(left+side, out.Width); x++ {
					copy(row[3*x:3*x+3], m.Pix[3*from:3*from+3])
					from += right
				}
			}
		}
	}
	return out
}

package pixels

import (
	"bytes"
	"encoding/binary"
)

// orientation returns the tag Orientation (0x0112), 1 to 8, of an EXIF block's first
// directory. It returns 1, upright, if the block has none or is damaged. The block has
// the layout of a TIFF ("Exif version 2.32", 4.5.2 and 4.6.4).
func orientation(exif []byte) int {
	exif = bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))
	if len(exif) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(exif[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	offset := uint64(order.Uint32(exif[4:]))
	if offset+2 > uint64(len(exif)) {
		return 1
	}
	entries := exif[offset+2:]
	for range order.Uint16(exif[offset:]) {
		if len(entries) < 12 {
			break
		}
		const tagOrientation, typeShort = 0x0112, 3
		if order.Uint16(entries) == tagOrientation && order.Uint16(entries[2:]) == typeShort {
			if o := order.Uint16(entries[8:]); 1 <= o && o <= 8 {
				return int(o)
			}
			break
		}
		entries = entries[12:]
	}
	return 1
}

// jpegEXIF returns the APP1 segment that holds EXIF, or nil if there is none before the
// first scan.
func jpegEXIF(data []byte) []byte {
	for rest := data[min(2, len(data)):]; len(rest) >= 4 && rest[0] == 0xff; {
		marker := rest[1]
		if marker == 0xff { // padding
			rest = rest[1:]
			continue
		}
		size := 2 + int(binary.BigEndian.Uint16(rest[2:]))
		const app1, startOfScan = 0xe1, 0xda
		if marker == startOfScan || size < 4 || size > len(rest) {
			return nil
		}
		if body := rest[4:size]; marker == app1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return body
		}
		rest = rest[size:]
	}
	return nil
}

// pngEXIF returns the eXIf chunk, or nil if there is none.
func pngEXIF(data []byte) []byte {
	for rest := data[min(8, len(data)):]; len(rest) >= 12; {
		size := uint64(binary.BigEndian.Uint32(rest))
		if size+12 > uint64(len(rest)) {
			return nil
		}
		if string(rest[4:8]) == "eXIf" {
			return rest[8 : 8+size]
		}
		rest = rest[12+size:]
	}
	return nil
}

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

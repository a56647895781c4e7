package pixels

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// This file reads BMPs itself because golang.org/x/image/bmp takes only whole bytes,
// without runs and bit fields. The kinds are those that Pillow reads (BmpImagePlugin.py):
// headers of OS/2 and of Windows 3 to 5; 1, 4, 8, 16, 24 and 32 bits; runs of 4 and 8
// bits; from the top or from the bottom. Layout:
// https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-storage

// errBMPKind is returned for a kind of BMP that isn't read.
var errBMPKind = errors.New("bmp: unsupported kind")

// Compressions of a BMP.
const (
	bmpPlain = iota
	bmpRuns8
	bmpRuns4
	bmpFields
)

// bmpHeader is what the headers of a BMP say.
type bmpHeader struct {
	width, height int64
	fromTop       bool
	bits          int
	compression   uint32
	fields        [3]bmpField // of red, green and blue, for 16 and 32 bits
	palette       [][3]uint8
	pixels        []byte // from the first pixel to the end of the file
}

// bmpField is where a channel lies in a pixel of 16 or 32 bits.
type bmpField struct{ shift, most uint32 }

func (f bmpField) of(pixel uint32) uint8 { return uint8(pixel >> f.shift & f.most * 255 / f.most) }

// bmpLayouts are the bit fields that Pillow reads: masks of red, green, blue and alpha.
// Alpha is dropped. It tells a layout from one that nobody writes.
var bmpLayouts = map[int][][4]uint32{
	32: {
		{0xff0000, 0xff00, 0xff, 0},
		{0xff000000, 0xff0000, 0xff00, 0},
		{0xff000000, 0xff00, 0xff, 0},
		{0xff000000, 0xff0000, 0xff00, 0xff},
		{0xff, 0xff00, 0xff0000, 0xff000000},
		{0xff0000, 0xff00, 0xff, 0xff000000},
		{0xff000000, 0xff00, 0xff, 0xff0000},
	},
	16: {{0xf800, 0x7e0, 0x1f}, {0x7c00, 0x3e0, 0x1f}},
}

func bmpConfig(data []byte) (image.Config, error) {
	h, err := readBMPHeader(data)
	// A side beyond int is far beyond any limit.
	return sized(int(h.width), int(h.height)), err
}

func readBMPHeader(data []byte) (bmpHeader, error) {
	var h bmpHeader
	const fileHeader = 14
	if len(data) < fileHeader+4 {
		return h, io.ErrUnexpectedEOF
	}
	offset := uint64(binary.LittleEndian.Uint32(data[10:]))
	size := uint64(binary.LittleEndian.Uint32(data[fileHeader:]))
	switch size {
	case 12, 40, 52, 56, 64, 108, 124:
	default:
		return h, fmt.Errorf("%w: a header of %d bytes", errBMPKind, size)
	}
	if uint64(len(data)) < fileHeader+size {
		return h, io.ErrUnexpectedEOF
	}
	info, rest := data[fileHeader:][:size], data[fileHeader+size:]
	entry, colours := 4, uint64(0) // bytes of a colour of the palette, number of colours
	if size == 12 {
		entry = 3
		h.width, h.height = int64(binary.LittleEndian.Uint16(info[4:])), int64(binary.LittleEndian.Uint16(info[6:]))
		h.bits = int(binary.LittleEndian.Uint16(info[10:]))
	} else {
		h.width, h.height = int64(binary.LittleEndian.Uint32(info[4:])), int64(int32(binary.LittleEndian.Uint32(info[8:])))
		if h.height < 0 {
			h.height, h.fromTop = -h.height, true
		}
		h.bits = int(binary.LittleEndian.Uint16(info[14:]))
		h.compression = binary.LittleEndian.Uint32(info[16:])
		colours = uint64(binary.LittleEndian.Uint32(info[32:]))
	}
	if h.bits <= 8 && colours == 0 {
		colours = 1 << max(h.bits, 0)
	}
	used, err := h.readFields(info, rest)
	if err != nil {
		return h, err
	}
	rest = rest[used:]
	if h.bits <= 8 {
		if colours > 1<<16 {
			return h, fmt.Errorf("bmp: %d colours", colours)
		}
		if uint64(len(rest)) < uint64(entry)*colours {
			return h, io.ErrUnexpectedEOF
		}
		for i := range int(min(colours, 256)) {
			c := rest[entry*i:]
			h.palette = append(h.palette, [3]uint8{c[2], c[1], c[0]})
		}
		rest = rest[uint64(entry)*colours:]
		if offset == fileHeader+size { // a wrong offset, which some programs write
			offset = 0
		}
	}
	if h.pixels = rest; offset > 0 {
		h.pixels = data[min(offset, uint64(len(data))):]
	}
	return h, nil
}

// readFields checks the compression and sets the bit fields. It returns how many bytes
// after the header are masks.
func (h *bmpHeader) readFields(info, rest []byte) (used int, err error) {
	unsupported := func() (int, error) {
		return 0, fmt.Errorf("%w: compression %d of %d bits", errBMPKind, h.compression, h.bits)
	}
	switch h.bits {
	case 1, 4, 8, 16, 24, 32:
	default:
		return unsupported()
	}
	switch h.compression {
	case bmpPlain:
		if h.bits == 16 {
			h.setFields([4]uint32{0x7c00, 0x3e0, 0x1f})
		} else {
			h.setFields([4]uint32{0xff0000, 0xff00, 0xff})
		}
		return 0, nil
	case bmpRuns8, bmpRuns4:
		if h.bits != map[uint32]int{bmpRuns8: 8, bmpRuns4: 4}[h.compression] {
			return unsupported()
		}
		return 0, nil
	case bmpFields:
	default:
		return unsupported()
	}
	if h.bits <= 8 {
		return unsupported()
	}
	var masks [4]uint32
	from, n := rest, 3 // after a header of 40 bytes
	if len(info) > 40 {
		from, n = info[40:], min(4, len(info[40:])/4)
	} else {
		used = 12
	}
	if len(from) < 4*n {
		return 0, io.ErrUnexpectedEOF
	}
	for i := range n {
		masks[i] = binary.LittleEndian.Uint32(from[4*i:])
	}
	if h.bits == 32 && masks == [4]uint32{} {
		masks = bmpLayouts[32][0]
	}
	if h.bits != 32 {
		masks[3] = 0
	}
	known := h.bits == 24 && masks == [4]uint32{0xff0000, 0xff00, 0xff}
	for _, layout := range bmpLayouts[h.bits] {
		known = known || layout == masks
	}
	if !known {
		return 0, fmt.Errorf("%w: bit fields %x of %d bits", errBMPKind, masks, h.bits)
	}
	h.setFields(masks)
	return used, nil
}

func (h *bmpHeader) setFields(masks [4]uint32) {
	for i := range h.fields {
		mask, shift := masks[i], uint32(0)
		for ; mask&1 == 0; mask >>= 1 {
			shift++
		}
		h.fields[i] = bmpField{shift, mask}
	}
}

func decodeBMP(data []byte) (image.Image, error) {
	h, err := readBMPHeader(data)
	if err != nil {
		return nil, err
	}
	m := newRGB(int(h.width), int(h.height))
	switch {
	case h.compression == bmpRuns8 || h.compression == bmpRuns4:
		err = h.runs(m)
	default:
		err = h.plain(m)
	}
	return m, err
}

// row returns the picture's row for the file's row y.
func (h *bmpHeader) row(m *RGB, y int) []uint8 {
	if h.fromTop {
		return m.row(y)
	}
	return m.row(m.Height - 1 - y)
}

// colours returns the colour of each index. An index without a colour is black.
func (h *bmpHeader) colours() (all [256][3]uint8) {
	copy(all[:], h.palette)
	return all
}

// plain reads rows that are padded to a multiple of 4 bytes. The last one needs no
// padding.
func (h *bmpHeader) plain(m *RGB) error {
	stride := (m.Width*h.bits + 31) / 32 * 4
	colours := h.colours()
	for y := range m.Height {
		from := h.pixels[min(y*stride, len(h.pixels)):]
		if len(from) < (m.Width*h.bits+7)/8 {
			return io.ErrUnexpectedEOF
		}
		to := h.row(m, y)
		switch h.bits {
		case 1, 4, 8:
			for x := range m.Width {
				bit := x * h.bits
				index := from[bit/8] >> (8 - h.bits - bit%8) & (1<<h.bits - 1)
				copy(to[3*x:], colours[index][:])
			}
		case 24:
			for x := range m.Width {
				to[3*x], to[3*x+1], to[3*x+2] = from[3*x+2], from[3*x+1], from[3*x]
			}
		default:
			for x := range m.Width {
				pixel := uint32(from[2*x]) | uint32(from[2*x+1])<<8
				if h.bits == 32 {
					pixel = binary.LittleEndian.Uint32(from[4*x:])
				}
				for c, field := range h.fields {
					to[3*x+c] = field.of(pixel)
				}
			}
		}
	}
	return nil
}

// runs reads runs of 8 or 4 bits. Pixels that the runs leave out have colour 0. A run
// that is too long ends with its row, as in Pillow.
func (h *bmpHeader) runs(m *RGB) error {
	colours := h.colours()
	for y := range m.Height {
		to := h.row(m, y)
		for x := range m.Width {
			copy(to[3*x:], colours[0][:])
		}
	}
	x, y := 0, 0
	// set sets the next n pixels, as many as are in the row.
	set := func(n int, index func(i int) uint8) {
		if x < m.Width && y < m.Height {
			to := h.row(m, y)[3*x:]
			for i := range min(n, m.Width-x) {
				copy(to[3*i:], colours[index(i)][:])
			}
		}
		x += n
	}
	// index returns the i-th index of bytes that hold one or two each.
	index := func(bytes []byte, i int) uint8 {
		switch {
		case h.bits == 8:
			return bytes[i]
		case i%2 == 0:
			return bytes[i/2] >> 4
		}
		return bytes[i/2] & 15
	}
	data := h.pixels
	for y < m.Height && (y < m.Height-1 || x < m.Width) {
		if len(data) < 2 {
			return io.ErrUnexpectedEOF
		}
		count, code := int(data[0]), data[1]
		if data = data[2:]; count > 0 {
			run := [2]uint8{code, code}
			if h.bits == 4 {
				run = [2]uint8{code >> 4, code & 15}
			}
			set(count, func(i int) uint8 { return run[i%2] })
			continue
		}
		const endOfRow, endOfPicture, move = 0, 1, 2
		switch code {
		case endOfRow:
			x, y = 0, y+1
		case endOfPicture:
			return nil
		case move:
			if len(data) < 2 {
				return io.ErrUnexpectedEOF
			}
			x, y = x+int(data[0]), y+int(data[1])
			data = data[2:]
		default:
			bytes := (int(code)*h.bits + 7) / 8
			if len(data) < bytes {
				return io.ErrUnexpectedEOF
			}
			set(int(code), func(i int) uint8 { return index(data, i) })
			data = data[min(bytes+bytes%2, len(data)):] // padded to a multiple of 2
		}
	}
	return nil
}

package jpeg

import (
	"encoding/binary"
	"errors"
)

// huffman is a code table. Codes are compared left-aligned in 16 bits.
type huffman struct {
	// short holds value << 8 | length by the first bits of a code, or 0 if the code is
	// longer.
	short [1 << shortBits]uint16
	// beyond holds, by length, the first left-aligned code that is too large.
	beyond [17]uint32
	// offset holds, by length, the difference between a value's index and its code.
	offset [17]int
	values []uint8
}

const shortBits = 9

// huffmanTables reads tables, T.81 B.2.4.2 and annex C.
func (d *decoder) huffmanTables(segment []byte) error {
	for len(segment) > 0 {
		class, which := segment[0]>>4, segment[0]&15
		if class > 1 || which > 3 || len(segment) < 17 {
			return errors.New("bad Huffman table")
		}
		h := new(huffman)
		code, n := 0, 0
		for length := 1; length <= 16; length++ {
			count := int(segment[length])
			h.offset[length] = n - code
			code, n = code+count, n+count
			if code > 1<<length || n > 256 {
				return errors.New("bad Huffman table: more codes than fit")
			}
			h.beyond[length] = uint32(code) << (16 - length)
			code <<= 1
		}
		if len(segment) < 17+n {
			return errors.New("bad Huffman table: values are missing")
		}
		h.values = segment[17 : 17+n]
		at, values := 0, h.values // codes are consecutive
		for length := 1; length <= shortBits; length++ {
			for range int(segment[length]) {
				for range 1 << (shortBits - length) {
					h.short[at] = uint16(values[0])<<8 | uint16(length)
					at++
				}
				values = values[1:]
			}
		}
		if class == 0 {
			d.dc[which] = h
		} else {
			d.ac[which] = h
		}
		segment = segment[17+n:]
	}
	return nil
}

// find returns the value and length of the code that 16 bits start with, or 0 and 0 if
// there is none.
func (h *huffman) find(next uint32) (value uint8, length int) {
	for length := 1; length <= 16; length++ {
		if next < h.beyond[length] {
			return h.values[int(next>>(16-length))+h.offset[length]], length
		}
	}
	return 0, 0
}

// bits reads a scan's data up to the next marker. After the end it returns zeros, so that
// one check for errors per block is enough.
type bits struct {
	data     []byte
	pos      int
	acc      uint64 // the lowest n bits come next
	n        int
	invented int  // bits added after the end
	bad      bool // a code was in no table
}

// fill raises n, which is below 16, above 32.
func (r *bits) fill() {
	if r.pos+4 <= len(r.data) {
		// Reads four bytes if none is 0xff.
		if v := binary.BigEndian.Uint32(r.data[r.pos:]); (^v-0x01010101)&v&0x80808080 == 0 {
			r.acc, r.n, r.pos = r.acc<<32|uint64(v), r.n+32, r.pos+4
			return
		}
	}
	for r.n <= 56 {
		r.acc, r.n = r.acc<<8|uint64(r.nextByte()), r.n+8
	}
}

// nextByte undoes byte stuffing: 0xff is stored as 0xff 0x00.
func (r *bits) nextByte() byte {
	if r.pos < len(r.data) {
		if b := r.data[r.pos]; b != 0xff {
			r.pos++
			return b
		}
		after := r.pos + 1
		for after < len(r.data) && r.data[after] == 0xff {
			after++
		}
		if after < len(r.data) && r.data[after] == 0 {
			r.pos = after + 1
			return 0xff
		}
	}
	r.invented += 8
	return 0
}

// overrun reports whether invented bits were taken.
func (r *bits) overrun() bool { return r.invented > r.n }

// take returns the next count bits, at most 16.
func (r *bits) take(count int) int32 {
	if r.n < count {
		r.fill()
	}
	r.n -= count
	return int32(r.acc>>r.n) & (1<<count - 1)
}

// signed returns the next count bits as in T.81's EXTEND: the lower half of their range
// is the negative numbers.
func (r *bits) signed(count int) int32 {
	v := r.take(count)
	if count > 0 && v < 1<<(count-1) {
		v += -1<<count + 1
	}
	return v
}

// symbol returns the next code's value.
func (r *bits) symbol(h *huffman) int {
	if r.n < 16 {
		r.fill()
	}
	next := uint32(r.acc>>(r.n-16)) & 0xffff
	if s := h.short[next>>(16-shortBits)]; s != 0 {
		r.n -= int(s & 0xff)
		return int(s >> 8)
	}
	value, length := h.find(next)
	if length == 0 {
		r.bad = true
	}
	r.n -= length
	return int(value)
}

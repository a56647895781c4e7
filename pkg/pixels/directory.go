package pixels

import (
	"bytes"
	"encoding/binary"
)

// Tags of a TIFF's directory that matter here (TIFF 6.0, section 8; XMP
// part 3; DNG 1.4).
const (
	tagSubfile     = 0x00fe
	tagCompression = 0x0103
	tagPhotometric = 0x0106
	tagOrientation = 0x0112
	tagSamples     = 0x0115
	tagPlanar      = 0x011c
	tagXMP         = 0x02bc
	tagDNGVersion  = 0xc612
)

// directory is the first directory of a TIFF, and EXIF has the layout of one ("Exif
// version 2.32", 4.5.2 and 4.6.4).
type directory struct {
	data    []byte
	order   binary.ByteOrder
	entries map[uint16][]byte // 12 bytes of each
}

// readDirectory reads as many entries as there are. It reports false if data is no TIFF.
func readDirectory(data []byte) (directory, bool) {
	d := directory{data: data, entries: make(map[uint16][]byte)}
	if len(data) < 8 {
		return d, false
	}
	switch string(data[:4]) {
	case "II*\x00":
		d.order = binary.LittleEndian
	case "MM\x00*":
		d.order = binary.BigEndian
	default:
		return d, false
	}
	offset := uint64(d.order.Uint32(data[4:]))
	if offset+2 > uint64(len(data)) {
		return d, true
	}
	rest := data[offset+2:]
	for range d.order.Uint16(data[offset:]) {
		if len(rest) < 12 {
			break
		}
		if tag := d.order.Uint16(rest); d.entries[tag] == nil { // the first counts
			d.entries[tag] = rest[:12]
		}
		rest = rest[12:]
	}
	return d, true
}

// sizes of a value, by its type. Types that hold no whole numbers are left out.
var sizes = map[uint16]uint64{1: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4}

// bytes returns the values of a tag as they are stored, or nil.
func (d directory) bytes(tag uint16) []byte {
	entry, ok := d.entries[tag]
	if !ok {
		return nil
	}
	size := sizes[d.order.Uint16(entry[2:])] * uint64(d.order.Uint32(entry[4:]))
	if size <= 4 {
		return entry[8:][:size]
	}
	at := uint64(d.order.Uint32(entry[8:]))
	if at+size > uint64(len(d.data)) {
		return nil
	}
	return d.data[at:][:size]
}

// numbers returns the values of a tag whose type is a whole number of 1, 2 or 4 bytes.
func (d directory) numbers(tag uint16) []uint32 {
	values := d.bytes(tag)
	if len(values) == 0 {
		return nil
	}
	var all []uint32
	switch sizes[d.order.Uint16(d.entries[tag][2:])] {
	case 1:
		for _, v := range values {
			all = append(all, uint32(v))
		}
	case 2:
		for ; len(values) >= 2; values = values[2:] {
			all = append(all, uint32(d.order.Uint16(values)))
		}
	case 4:
		for ; len(values) >= 4; values = values[4:] {
			all = append(all, d.order.Uint32(values))
		}
	}
	return all
}

// number returns the first value of a tag, or missing if there is none.
func (d directory) number(tag uint16, missing uint32) uint32 {
	if all := d.numbers(tag); len(all) > 0 {
		return all[0]
	}
	return missing
}

// exifOrientation returns the tag Orientation of an EXIF block, and whether the block has
// the tag.
func exifOrientation(exif []byte) (orientation int, stated bool) {
	for range 2 { // some programs write the prefix twice
		exif = bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))
	}
	d, ok := readDirectory(exif)
	if !ok {
		return 0, false
	}
	all := d.numbers(tagOrientation)
	if len(all) == 0 {
		return 0, false
	}
	if kind := d.order.Uint16(d.entries[tagOrientation][2:]); kind == 1 || kind == 7 { // bytes, which Pillow takes as text
		return 0, true
	}
	return int(all[0]), true
}

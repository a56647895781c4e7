package pixels

import (
	"encoding/binary"
	"testing"
)

// exifBlock returns an EXIF block of one or more entries of 12 bytes.
func exifBlock(order binary.AppendByteOrder, start string, entries ...[]byte) []byte {
	block := order.AppendUint32([]byte(start), 8)
	block = order.AppendUint16(block, uint16(len(entries)))
	for _, e := range entries {
		block = append(block, e...)
	}
	return block
}

func entry(order binary.AppendByteOrder, tag, kind, value uint16) []byte {
	e := order.AppendUint16(order.AppendUint16(nil, tag), kind)
	e = order.AppendUint16(order.AppendUint32(e, 1), value)
	return append(e, 0, 0)
}

func TestOrientation(t *testing.T) {
	little, big := binary.LittleEndian, binary.BigEndian
	six := exifBlock(little, "II*\x00", entry(little, 0x0112, 3, 6))
	for _, test := range []struct {
		name string
		exif []byte
		want int
	}{
		{"little endian", six, 6},
		{"big endian", exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 8)), 8},
		{"with JPEG's prefix", append([]byte("Exif\x00\x00"), six...), 6},
		{"not the first entry", exifBlock(big, "MM\x00*", entry(big, 0x0100, 3, 5), entry(big, 0x0112, 3, 3)), 3},
		{"another tag", exifBlock(big, "MM\x00*", entry(big, 0x0100, 3, 5)), 1},
		{"of another type", exifBlock(big, "MM\x00*", entry(big, 0x0112, 2, 6)), 1},
		{"0", exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 0)), 1},
		{"9", exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 9)), 1},
		{"no block", nil, 1},
		{"another byte order mark", exifBlock(big, "MI\x00*", entry(big, 0x0112, 3, 6)), 1},
		{"directory beyond the end", append([]byte("II*\x00"), 0xff, 0xff, 0xff, 0xff, 0, 0), 1},
		{"directory at the end", append([]byte("II*\x00"), 8, 0, 0, 0), 1},
		{"entry cut short", six[:len(six)-1], 1},
	} {
		if got := orientation(test.exif); got != test.want {
			t.Errorf("%s: orientation %d, want %d", test.name, got, test.want)
		}
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(exifBlock(binary.LittleEndian, "II*\x00", entry(binary.LittleEndian, 0x0112, 3, 6)))
	f.Add(exifBlock(binary.BigEndian, "MM\x00*", entry(binary.BigEndian, 0x0112, 3, 8)))
	for _, name := range []string{"exif5.jpg", "exif8.jpg", "rgb-exif6.png", "lossy-exif8.webp"} {
		f.Add(readFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) { // a block, or a file with one
		for _, exif := range [][]byte{data, jpegEXIF(data), pngEXIF(data), webpEXIF(data)} {
			if got := orientation(exif); got < 1 || got > 8 {
				t.Fatalf("orientation %d", got)
			}
		}
	})
}

func TestUpright(t *testing.T) {
	// Two rows of three pixels; each letter is a pixel.
	picture := func(width int, letters string) *RGB {
		m := newRGB(width, len(letters)/width)
		for i := range letters {
			m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = letters[i], letters[i]+100, letters[i]+200
		}
		return m
	}
	stored := picture(3, "abc"+"def")
	for orientation, want := range map[int]*RGB{
		1: stored,
		2: picture(3, "cba"+"fed"),
		3: picture(3, "fed"+"cba"),
		4: picture(3, "def"+"abc"),
		5: picture(2, "ad"+"be"+"cf"),
		6: picture(2, "da"+"eb"+"fc"),
		7: picture(2, "fc"+"eb"+"da"),
		8: picture(2, "cf"+"be"+"ad"),
	} {
		compare(t, "orientation "+string(rune('0'+orientation)), stored.upright(orientation), want)
	}

	// This is larger than the squares in upright.
	large := newRGB(150, 97)
	for i := range large.Pix {
		large.Pix[i] = uint8(i * i >> 3)
	}
	for orientation := 1; orientation <= 8; orientation++ {
		back := orientation
		switch orientation {
		case 6:
			back = 8
		case 8:
			back = 6
		}
		compare(t, "there and back", large.upright(orientation).upright(back), large)
	}
}

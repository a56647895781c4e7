package pixels

import (
	"bytes"
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
	xmp := func(text string) []byte { return []byte("<rdf:Description " + text + "</rdf:Description>") }
	for _, test := range []struct {
		name string
		metadata
		want int
	}{
		{"little endian", metadata{exif: six}, 6},
		{"big endian", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 8))}, 8},
		{"with JPEG's prefix", metadata{exif: append([]byte("Exif\x00\x00"), six...)}, 6},
		{"with the prefix twice", metadata{exif: append([]byte("Exif\x00\x00Exif\x00\x00"), six...)}, 6},
		{"of type LONG", metadata{exif: exifBlock(little, "II*\x00", entry(little, 0x0112, 4, 6))}, 6},
		{"the earlier of two", metadata{exif: exifBlock(little, "II*\x00", entry(little, 0x0112, 3, 6), entry(little, 0x0112, 3, 8))}, 6},
		{"of the type BYTE, as Pillow", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0112, 1, 6)), xmp: xmp(`tiff:Orientation="3">`)}, 0},
		{"not the first entry", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0100, 3, 5), entry(big, 0x0112, 3, 3))}, 3},
		{"another tag", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0100, 3, 5))}, 0},
		{"of a type of text", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0112, 2, 6))}, 0},
		{"0", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 0))}, 0},
		{"9", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 9))}, 0},
		{"no block", metadata{}, 0},
		{"another byte order mark", metadata{exif: exifBlock(big, "MI\x00*", entry(big, 0x0112, 3, 6))}, 0},
		{"directory beyond the end", metadata{exif: append([]byte("II*\x00"), 0xff, 0xff, 0xff, 0xff, 0, 0)}, 0},
		{"directory at the end", metadata{exif: append([]byte("II*\x00"), 8, 0, 0, 0)}, 0},
		{"entry cut short", metadata{exif: six[:len(six)-1]}, 0},
		{"XMP's attribute", metadata{xmp: xmp(`tiff:Orientation="6">`)}, 6},
		{"XMP's element", metadata{xmp: xmp(`><tiff:Orientation>8</tiff:Orientation>`)}, 8},
		{"XMP's attribute in other quotes, as Pillow", metadata{xmp: xmp(`tiff:Orientation='6'>`)}, 0},
		{"XMP that names it first", metadata{xmp: xmp(`note="tiff:Orientation" tiff:Orientation="3">`)}, 3},
		{"XMP that ends early", metadata{xmp: []byte(`tiff:Orientation="`)}, 0},
		{"XMP of 9", metadata{xmp: xmp(`tiff:Orientation="9">`)}, 0},
		{"EXIF before XMP", metadata{exif: six, xmp: xmp(`tiff:Orientation="3">`)}, 6},
		{"EXIF before XMP, though of no use", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0112, 3, 0)), xmp: xmp(`tiff:Orientation="3">`)}, 0},
		{"EXIF without the tag, and XMP", metadata{exif: exifBlock(big, "MM\x00*", entry(big, 0x0100, 3, 5)), xmp: xmp(`tiff:Orientation="3">`)}, 3},
	} {
		if got := test.orientation(); got != test.want {
			t.Errorf("%s: orientation %d, want %d", test.name, got, test.want)
		}
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(exifBlock(binary.LittleEndian, "II*\x00", entry(binary.LittleEndian, 0x0112, 3, 6)))
	f.Add(exifBlock(binary.BigEndian, "MM\x00*", entry(binary.BigEndian, 0x0112, 4, 8)))
	f.Add([]byte(`tiff:Orientation="6"`))
	for _, name := range []string{
		"exif5.jpg", "exif8.jpg", "rgb-exif6.png", "lossy-exif8.webp", "xmp6.jpg", "xmp6.png", "xmp6-zip.png", "xmp8.webp",
		"raw-profile6.png", "raw-profile8-zip.png", "orientation6.tiff",
	} {
		f.Add(readFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) { // a block, or a file with one
		for _, m := range []metadata{{exif: data}, {xmp: data}, jpegMetadata(data), pngMetadata(data), webpMetadata(data), tiffMetadata(data)} {
			if got := m.orientation(); got < 0 || got > 8 {
				t.Fatalf("orientation %d", got)
			}
		}
	})
}

// TestAsStored compares what Decode gives of a file with and without its orientation.
func TestAsStored(t *testing.T) {
	for _, name := range []string{"exif5.jpg", "xmp6.png", "lossy-exif8.webp", "orientation6.tiff"} {
		upright, err := Decode(bytes.NewReader(readFile(t, name)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		stored, err := Decode(bytes.NewReader(readFile(t, name)), Limits{AsStored: true})
		if err != nil {
			t.Fatal(err)
		}
		if stored.Orientation < 5 || upright.Orientation != stored.Orientation || stored.Width != upright.Height {
			t.Errorf("%s: as stored %d x %d with the orientation %d, upright %d x %d with %d", name,
				stored.Width, stored.Height, stored.Orientation, upright.Width, upright.Height, upright.Orientation)
		}
		compare(t, name, stored.upright(stored.Orientation), upright)
	}
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

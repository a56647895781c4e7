package pixels

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
)

// metadata are the parts of a file that may state an orientation. A part is nil if the
// file doesn't have it.
type metadata struct {
	exif []byte // a TIFF, perhaps after "Exif\0\0"
	xmp  []byte // XML
}

// orientation returns 1 to 8, and 0 if none is stated. As in Pillow (Image.getexif), XMP
// counts only if EXIF has no such tag.
func (m metadata) orientation() int {
	o, stated := exifOrientation(m.exif)
	if !stated {
		o = xmpOrientation(m.xmp)
	}
	if o < 1 || o > 8 {
		return 0
	}
	return o
}

// xmpOrientation returns the digit of the first tiff:Orientation, which is an attribute
// or an element, or 0.
func xmpOrientation(xmp []byte) int {
	name := []byte("tiff:Orientation")
	for {
		at := bytes.Index(xmp, name)
		if at < 0 {
			return 0
		}
		xmp = xmp[at+len(name):]
		for _, before := range []string{`="`, ">"} {
			if rest, ok := bytes.CutPrefix(xmp, []byte(before)); ok && len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' {
				return int(rest[0] - '0')
			}
		}
	}
}

// jpegMetadata reads the segments before the first scan. EXIF may be split over several
// segments. Of several XMP packets the last counts.
func jpegMetadata(data []byte) metadata {
	var m metadata
	for rest := data[min(2, len(data)):]; len(rest) >= 4 && rest[0] == 0xff; {
		marker := rest[1]
		if marker == 0xff { // padding
			rest = rest[1:]
			continue
		}
		size := 2 + int(binary.BigEndian.Uint16(rest[2:]))
		const app1, startOfScan = 0xe1, 0xda
		if marker == startOfScan || size < 4 || size > len(rest) {
			break
		}
		if body := rest[4:size]; marker == app1 {
			if exif, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok {
				m.exif = append(m.exif, exif...)
			} else if xmp, ok := bytes.CutPrefix(body, []byte("http://ns.adobe.com/xap/1.0/\x00")); ok {
				m.xmp = xmp
			}
		}
		rest = rest[size:]
	}
	return m
}

// maxText bounds the text of a chunk after decompression, as in Pillow (MAX_TEXT_CHUNK).
const maxText = 1 << 20

// pngMetadata reads the chunk eXIf, or else the text "Raw profile type exif", where
// ImageMagick and older programs keep EXIF.
func pngMetadata(data []byte) metadata {
	var m metadata
	var profile []byte
	for id, body := range pngChunks(data) {
		switch id {
		case "eXIf":
			m.exif = body
			continue
		case "tEXt", "zTXt", "iTXt":
		default:
			continue
		}
		switch key, text := pngText(id, body); key {
		case "Raw profile type exif":
			profile = text
		case "XML:com.adobe.xmp":
			m.xmp = text
		}
	}
	if m.exif == nil {
		m.exif = rawProfile(profile)
	}
	return m
}

// pngText returns the key and the text of a chunk tEXt, zTXt or iTXt. The text is nil if
// the chunk is damaged. https://www.w3.org/TR/png-3/#11textinfo
func pngText(id string, body []byte) (key string, text []byte) {
	name, text, ok := bytes.Cut(body, []byte{0})
	if !ok {
		return "", nil
	}
	switch id {
	case "zTXt":
		if len(text) == 0 || text[0] != 0 {
			return "", nil
		}
		text = inflated(text[1:])
	case "iTXt":
		if len(text) < 2 {
			return "", nil
		}
		compressed := text[0] != 0
		if compressed && text[1] != 0 {
			return "", nil
		}
		_, text, _ = bytes.Cut(text[2:], []byte{0})        // the language
		if _, text, ok = bytes.Cut(text, []byte{0}); !ok { // the key in that language
			return "", nil
		}
		if compressed {
			text = inflated(text)
		}
	}
	return string(name), text
}

func inflated(data []byte) []byte {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return nil
	}
	return text
}

// rawProfile decodes ImageMagick's text: an empty line, the profile's name, its length,
// and its bytes in hexadecimal, in lines.
func rawProfile(text []byte) []byte {
	lines := strings.SplitN(string(text), "\n", 4)
	if len(lines) < 4 {
		return nil
	}
	profile, err := hex.DecodeString(strings.Join(strings.Fields(lines[3]), ""))
	if err != nil {
		return nil
	}
	return profile
}

func webpMetadata(data []byte) metadata {
	var m metadata
	for rest := data[min(12, len(data)):]; ; {
		id, body, next, ok := riffChunk(rest)
		if !ok {
			return m
		}
		switch {
		case id == "EXIF" && m.exif == nil:
			m.exif = body
		case id == "XMP " && m.xmp == nil:
			m.xmp = body
		}
		rest = next
	}
}

// tiffMetadata takes the whole file: EXIF has the layout of a TIFF.
func tiffMetadata(data []byte) metadata {
	m := metadata{exif: data}
	if d, ok := readDirectory(data); ok {
		m.xmp = d.bytes(tagXMP)
	}
	return m
}

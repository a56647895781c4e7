// Package jpeg decodes JPEG to the same samples as libjpeg-turbo, and so as Pillow,
// OpenCV and torchvision. It reads baseline, extended and progressive Huffman-coded
// pictures of 8 bits (ITU-T T.81), of one, three or four components, with JFIF's or
// Adobe's colours.
//
// The alternative is image/jpeg of Go 1.26 and the conversions of pixels.FromImage. This
// command compares the two:
//
//	go run ./pkg/pixels/internal/jpegdiff testdata/formats/*.jpg
//
// This package gives Pillow's pixels for all of these 40 upright pictures, and image/jpeg
// reads 27. image/jpeg refuses 12 samplings (3x1, 1x4 and their like, Cb and Cr that
// differ, YCCK at 4:2:2, CMYK as Pillow writes it at 4:2:0), CMYK without Adobe's marker,
// and any picture without its end marker. It repeats the samples of subsampled RGB and
// YCCK, and is off by up to 87 there. In other pictures 3 % of values are off, by at most
// 3, because its inverse DCT rounds in another way. People do have such files:
// https://go.dev/issue/54997 and https://go.dev/issue/62421.
//
// Detections are as good with either: AP is 0.652 for both on testdata/images, and 0.006
// on 27 photos of COCO (jpegdiff -into, clipdet eval). For a single query they may
// differ, and bench/parity allows no difference from a Python pipeline's pixels. This
// package takes 0.75 times as long on those photos, including conversion to RGB, and 0.85
// times in
//
//	go test ./pkg/pixels -run '^$' -bench JPEG
package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrUnsupported is returned for a sound picture of an unsupported kind, such as
// arithmetic coding, 12 bits or lossless.
var ErrUnsupported = errors.New("unsupported kind of JPEG")

// Colours is the meaning of a picture's planes.
type Colours int

// The kinds of colours. CMYK and the K of YCCK are Adobe's, 255 for no ink. The rest of
// YCCK, converted like YCbCr, is cyan, magenta and yellow, 0 for no ink.
const (
	Grey Colours = iota
	YCbCr
	RGB
	CMYK
	YCCK
)

// Plane holds the samples of a component.
type Plane struct {
	Pix    []uint8
	Stride int
	// Width and Height count the samples within the picture. Pix also has the rest of the
	// last blocks.
	Width, Height int
	// SpanX and SpanY are the width and height of a sample in pixels.
	SpanX, SpanY int
}

// Picture is a decoded JPEG. It is not upsampled, converted or turned.
type Picture struct {
	Width, Height int
	Colours       Colours
	Planes        []Plane
}

// These are the markers of T.81, table B.1.
const (
	sof0  = 0xc0 // baseline
	sof1  = 0xc1 // extended
	sof2  = 0xc2 // progressive
	dht   = 0xc4
	sof15 = 0xcf
	jpgX  = 0xc8 // reserved
	dac   = 0xcc
	rst0  = 0xd0
	rst7  = 0xd7
	soi   = 0xd8
	eoi   = 0xd9
	sos   = 0xda
	dqt   = 0xdb
	dri   = 0xdd
	app0  = 0xe0
	app14 = 0xee
	tem   = 0x01
)

// maxScans bounds the work for a small progressive file: each scan visits every block.
// Encoders write about ten.
const maxScans = 200

type block [64]int16

type component struct {
	Plane
	id           uint8
	h, v         int // sampling factors
	quantiser    uint8
	quant        *[64]uint16 // table at the component's first scan, in natural order
	across, down int         // blocks of Plane.Pix
	coefficients []block     // if progressive
	predictor    int32       // DC value of the previous block
}

type decoder struct {
	data []byte
	pos  int

	width, height int
	progressive   bool
	components    []component
	maxH, maxV    int

	quant   [4]*[64]uint16
	dc, ac  [4]*huffman
	restart int // units between restart markers, 0 if there are none
	scans   int

	jfif  bool
	adobe int // Adobe's colour transform, -1 if there is no such marker
}

// Size returns a picture's size. It reads as far as the frame header.
func Size(data []byte) (width, height int, err error) {
	d := decoder{data: data, adobe: -1}
	for {
		marker, segment, err := d.next()
		if err != nil {
			return 0, 0, err
		}
		switch {
		case isFrame(marker):
			err := d.frame(marker, segment)
			return d.width, d.height, err
		case marker == sos || marker == eoi:
			return 0, 0, errors.New("no frame header before the first scan")
		}
	}
}

// Decode decodes a whole picture. The caller has checked its Size. The end marker may be
// missing if the picture is not progressive and has all blocks. If data ends early, the
// error wraps io.ErrUnexpectedEOF.
func Decode(data []byte) (*Picture, error) {
	d := decoder{data: data, adobe: -1}
	for {
		marker, segment, err := d.next()
		if err != nil {
			return nil, err
		}
		switch {
		case isFrame(marker):
			err = d.frame(marker, segment)
		case marker == dht:
			err = d.huffmanTables(segment)
		case marker == dqt:
			err = d.quantisers(segment)
		case marker == dri:
			if len(segment) < 2 {
				return nil, errors.New("short restart interval")
			}
			d.restart = int(binary.BigEndian.Uint16(segment))
		case marker == app0:
			d.jfif = d.jfif || len(segment) >= 14 && string(segment[:5]) == "JFIF\x00"
		case marker == app14:
			if len(segment) >= 12 && string(segment[:5]) == "Adobe" {
				d.adobe = int(segment[11])
			}
		case marker == sos:
			if err = d.scan(segment); err == nil && !d.progressive && d.complete() {
				return d.picture(), nil
			}
		case marker == eoi:
			if !d.complete() {
				return nil, errors.New("it ends without a scan of each of its channels")
			}
			d.transform()
			return d.picture(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// next skips to the next marker and returns it and its segment.
func (d *decoder) next() (marker uint8, segment []byte, err error) {
	for d.pos+1 < len(d.data) {
		if d.data[d.pos] != 0xff {
			d.pos++ // libjpeg skips stray bytes, too
			continue
		}
		marker := d.data[d.pos+1]
		if marker == 0 || marker == 0xff {
			d.pos++
			continue
		}
		d.pos += 2
		if marker == soi || marker == eoi || marker == tem || rst0 <= marker && marker <= rst7 {
			return marker, nil, nil
		}
		rest := d.data[d.pos:]
		if len(rest) < 2 {
			break
		}
		size := int(binary.BigEndian.Uint16(rest))
		if size < 2 {
			return 0, nil, fmt.Errorf("segment %#x has a size of %d", marker, size)
		}
		if size > len(rest) {
			break
		}
		d.pos += size
		return marker, rest[2:size], nil
	}
	return 0, nil, io.ErrUnexpectedEOF
}

func isFrame(marker uint8) bool {
	return sof0 <= marker && marker <= sof15 && marker != dht && marker != jpgX && marker != dac
}

// frame reads a frame header, T.81 B.2.2.
func (d *decoder) frame(marker uint8, segment []byte) error {
	if marker > sof2 {
		return fmt.Errorf("%w: its frames are of type %d, not baseline or progressive Huffman", ErrUnsupported, marker-sof0)
	}
	if d.components != nil {
		return errors.New("second frame header")
	}
	if len(segment) < 6 || len(segment) < 6+3*int(segment[5]) {
		return errors.New("short frame header")
	}
	if segment[0] != 8 {
		return fmt.Errorf("%w: its samples have %d bits, not 8", ErrUnsupported, segment[0])
	}
	d.progressive = marker == sof2
	d.height, d.width = int(binary.BigEndian.Uint16(segment[1:])), int(binary.BigEndian.Uint16(segment[3:]))
	n := int(segment[5])
	if n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("%w: it has %d components, not 1, 3 or 4", ErrUnsupported, n)
	}
	components := make([]component, n)
	for i := range components {
		c, spec := &components[i], segment[6+3*i:]
		c.id, c.h, c.v, c.quantiser = spec[0], int(spec[1]>>4), int(spec[1]&15), spec[2]
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.quantiser > 3 {
			return errors.New("sampling factor or quantiser out of range")
		}
		d.maxH, d.maxV = max(d.maxH, c.h), max(d.maxV, c.v)
	}
	for i := range components {
		c := &components[i]
		if d.maxH%c.h != 0 || d.maxV%c.v != 0 {
			return fmt.Errorf("%w: its components have %d to %d samples", ErrUnsupported, c.h*c.v, d.maxH*d.maxV)
		}
		c.SpanX, c.SpanY = d.maxH/c.h, d.maxV/c.v
		c.Width, c.Height = ceil(d.width, c.SpanX), ceil(d.height, c.SpanY)
		c.across, c.down = c.h*ceil(d.width, 8*d.maxH), c.v*ceil(d.height, 8*d.maxV)
		c.Stride = 8 * c.across
	}
	d.components = components
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }

// quantisers reads quantisation tables, T.81 B.2.4.1.
func (d *decoder) quantisers(segment []byte) error {
	for len(segment) > 0 {
		wide, which := int(segment[0]>>4), segment[0]&15
		if wide > 1 || which > 3 || len(segment) < 1+64*(1+wide) {
			return errors.New("bad quantisation table")
		}
		table := new([64]uint16)
		for i, at := range zigzag {
			if wide == 1 {
				table[at] = binary.BigEndian.Uint16(segment[1+2*i:])
			} else {
				table[at] = uint16(segment[1+i])
			}
		}
		d.quant[which] = table
		segment = segment[1+64*(1+wide):]
	}
	return nil
}

// complete reports whether each component was in a scan.
func (d *decoder) complete() bool {
	for i := range d.components {
		if d.components[i].quant == nil {
			return false
		}
	}
	return len(d.components) > 0
}

// transform turns a progressive picture's coefficients into samples.
func (d *decoder) transform() {
	for i := range d.components {
		c := &d.components[i]
		for at := range c.coefficients {
			x, y := at%c.across, at/c.across
			inverseDCT(c.Pix[8*(y*c.Stride+x):], c.Stride, &c.coefficients[at], c.quant)
		}
		c.coefficients = nil
	}
}

func (d *decoder) picture() *Picture {
	p := &Picture{Width: d.width, Height: d.height, Colours: d.colours()}
	for _, c := range d.components {
		p.Planes = append(p.Planes, c.Plane)
	}
	return p
}

// colours returns the colours that libjpeg assumes (default_decompress_parms in
// jdapimin.c).
func (d *decoder) colours() Colours {
	switch len(d.components) {
	case 1:
		return Grey
	case 3:
		id := [3]uint8{d.components[0].id, d.components[1].id, d.components[2].id}
		if !d.jfif && (d.adobe == 0 || d.adobe < 0 && id == [3]uint8{'R', 'G', 'B'}) {
			return RGB
		}
		return YCbCr
	}
	if d.adobe <= 0 {
		return CMYK
	}
	return YCCK
}

// zigzag maps a coefficient's place in the file to its place in a block.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

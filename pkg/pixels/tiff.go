package pixels

import (
	"bytes"
	"image"

	"golang.org/x/image/tiff"
)

// decodeTIFF returns the first picture of the file. golang.org/x/image/tiff reads some
// kinds as if they were others, so they are refused first. So are raw files of cameras,
// whose first picture is a small preview.
func decodeTIFF(data []byte) (image.Image, error) {
	d, _ := readDirectory(data)
	_, raw := d.entries[tagDNGVersion]
	switch {
	case raw || d.number(tagSubfile, 0)&1 != 0 || starts(data, "????????CR"):
		return nil, tiff.UnsupportedError("a preview of a camera's raw file")
	case d.number(tagPlanar, 1) != 1 && d.number(tagSamples, 1) > 1:
		return nil, tiff.UnsupportedError("a plane for each channel")
	}
	img, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	// A fax codes white as 0, so it is inverted if 0 is black. tiff.Decode doesn't do so.
	const fax3, fax4, blackIsZero = 3, 4, 1
	if c := d.number(tagCompression, 1); (c == fax3 || c == fax4) && d.number(tagPhotometric, 0) == blackIsZero {
		if grey, ok := img.(*image.Gray); ok {
			for i := range grey.Pix {
				grey.Pix[i] = ^grey.Pix[i]
			}
		}
	}
	return img, nil
}

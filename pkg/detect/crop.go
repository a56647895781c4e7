package detect

import (
	"cmp"
	"fmt"
	"image"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/crop"
)

// CropMode says how a box of any shape becomes CLIP's square input.
type CropMode string

// The modes. Each resizes with Pillow's antialiased bicubic.
const (
	// CropAuto is the mode that the image tower was trained with, as its manifest says,
	// and the default.
	CropAuto CropMode = "auto"
	// CropCLIP resizes the short side to the input size and keeps the square in the
	// middle. It cuts off the ends of long boxes. It is OpenAI's own preprocessing
	// (openai/CLIP, clip.py, _transform).
	CropCLIP CropMode = "clip"
	// CropSquash resizes both sides to the input size, which changes the shape.
	CropSquash CropMode = "squash"
	// CropPad resizes the long side to the input size, and fills the rest evenly on both
	// sides with the colour that CLIP's normalisation makes zero.
	CropPad CropMode = "pad"
)

// Crop says what CLIP sees of each box. The zero Crop is CropAuto of the box alone.
type Crop struct {
	Mode CropMode // "" is CropAuto
	// Context scales the box about its centre before it is cut out. 1.5 shows half as
	// much again in each direction; 0 is 1, the box itself; 100 is the largest.
	Context float64
}

// maxContext bounds how much of the picture a crop shows around its box.
const maxContext = 100

// complete returns c with its defaults. It fails with ErrOption.
func (c Crop) complete() (Crop, error) {
	c.Mode, c.Context = cmp.Or(c.Mode, CropAuto), cmp.Or(c.Context, 1)
	switch c.Mode {
	case CropAuto, CropCLIP, CropSquash, CropPad:
	default:
		return c, fmt.Errorf("%w: the crop mode is %q; write auto, clip, squash or pad", ErrOption, c.Mode)
	}
	if !(c.Context > 0 && c.Context <= maxContext) {
		return c, fmt.Errorf("%w: the crop context is %v; it must be above 0 and at most %d", ErrOption, c.Context, maxContext)
	}
	return c, nil
}

// trained are the modes of what manifests call resize_mode, in open_clip's words.
var trained = map[string]CropMode{
	archive.Shortest: CropCLIP, archive.Squash: CropSquash, archive.Longest: CropPad,
}

// mode returns how the boxes of c are cut for an image tower. c is complete.
func (c Crop) mode(tower archive.Manifest) crop.Mode {
	if c.Mode == CropAuto {
		return crop.Mode(trained[cmp.Or(tower.ResizeMode, archive.Shortest)])
	}
	return crop.Mode(c.Mode)
}

// rects returns the rectangle to cut out for each box of a picture. c is complete.
func (c Crop) rects(boxes []box.Box, width, height int) []image.Rectangle {
	rects := make([]image.Rectangle, len(boxes))
	for i, b := range boxes {
		rects[i] = crop.Rect(b, c.Context, width, height)
	}
	return rects
}

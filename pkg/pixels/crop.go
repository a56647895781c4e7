package pixels

import (
	"errors"
	"fmt"
	"image"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/torch"
)

// ErrCrop is wrapped by every error about a Crop that can't be used.
var ErrCrop = errors.New("unusable crop")

// CropMode says how a rectangle of any shape becomes CLIP's square input.
type CropMode string

// The modes. All resize with Pillow's antialiased bicubic.
const (
	// CropCLIP resizes the short side to the input size and keeps the square in the
	// middle, as CLIP's own preprocessing does (openai/CLIP, clip.py, _transform). It
	// is the default and cuts the ends off long boxes.
	CropCLIP CropMode = "clip"
	// CropSquash resizes both sides to the input size and changes the shape.
	CropSquash CropMode = "squash"
	// CropPad resizes the long side to the input size and fills the rest, on both
	// sides alike, with the colour that CLIP's normalisation takes to zero.
	CropPad CropMode = "pad"
)

// maxContext bounds the part of the picture that a crop can see around its box.
const maxContext = 100

// Crop says what CLIP sees of each box. The zero Crop is CLIP's own way on the box alone.
type Crop struct {
	Mode CropMode // "" is CropCLIP
	// Context scales the box about its centre before it is cut out: 1.5 shows half
	// as much again in each direction. 0 is 1, the box as it is.
	Context float64
}

// Check says whether c can be used; its errors wrap ErrCrop.
func (c Crop) Check() error {
	switch c.Mode {
	case "", CropCLIP, CropSquash, CropPad:
	default:
		return fmt.Errorf("%w: mode %q; write clip, squash or pad", ErrCrop, c.Mode)
	}
	if c.Context != 0 && !(c.Context > 0 && c.Context <= maxContext) {
		return fmt.Errorf("%w: context %v; it must be above 0 and at most %d", ErrCrop, c.Context, maxContext)
	}
	return nil
}

// Rect is the rectangle of whole pixels that is cut out of a picture of width x
// height for b: b with its context, rounded outward (floor of X0 and Y0, ceiling of
// X1 and Y1) and clipped to the picture. It has at least one pixel: a box that lies
// outside gives the picture's nearest one.
func (c Crop) Rect(b box.Box, width, height int) image.Rectangle {
	if c.Context != 0 && c.Context != 1 && !b.Empty() {
		// Of halves, since the whole may be beyond float32. The products are converted, so that
		// no processor fuses them with the sums, which could move an edge by a pixel.
		more := float32(c.Context - 1)
		dx, dy := float32(more*(b.X1/2-b.X0/2)), float32(more*(b.Y1/2-b.Y0/2))
		b = box.Box{X0: b.X0 - dx, Y0: b.Y0 - dy, X1: b.X1 + dx, Y1: b.Y1 + dy}
	}
	r := b.Outward()
	x0, x1 := span(r.Min.X, r.Max.X, width)
	y0, y1 := span(r.Min.Y, r.Max.Y, height)
	return image.Rect(x0, y0, x1, y1)
}

// span clips [low,high) to [0,length) and leaves at least one pixel.
func span(low, high, length int) (int, int) {
	low = min(max(low, 0), length-1)
	return low, min(max(high, low+1), length)
}

// piece plans the resampling of r to a square of side size.
func (c Crop) piece(r image.Rectangle, size int) torch.Piece {
	w, h := r.Dx(), r.Dy()
	p := torch.Piece{From: r, Width: size, Height: size, To: image.Rect(0, 0, size, size)}
	switch c.Mode {
	case CropSquash:
	case CropPad:
		if w >= h {
			p.Height = max(1, size*h/w)
		} else {
			p.Width = max(1, size*w/h)
		}
		x, y := (size-p.Width)/2, (size-p.Height)/2
		p.To = image.Rect(x, y, x+p.Width, y+p.Height)
	default:
		// The long side is cut down to whole pixels and the corner is rounded to even,
		// as torchvision.transforms.functional's resize and center_crop do.
		if w <= h {
			p.Height = size * h / w
		} else {
			p.Width = size * w / h
		}
		p.Left = int(math.RoundToEven(float64(p.Width-size) / 2))
		p.Top = int(math.RoundToEven(float64(p.Height-size) / 2))
	}
	return p
}

// Upload puts a picture on the engine's device: uint8 [1,3,H,W].
func Upload(s *torch.Scope, picture *RGB) torch.Tensor {
	t := torch.Upload(s, picture.Pix, 1, int64(picture.Height), int64(picture.Width), 3)
	return s.Contiguous(s.Permute(t, 0, 3, 1, 2))
}

// Crops cuts the rectangles out of a picture uint8 [1,3,H,W], for an encoder whose
// input is size x size pixels with the mean colour mean (in [0,1]; the padding of
// CropPad): float32 [N,3,size,size] in [0,1], a row for each rectangle.
func Crops(s *torch.Scope, picture torch.Tensor, rects []image.Rectangle, c Crop, size int, mean []float64) torch.Tensor {
	pieces := make([]torch.Piece, len(rects))
	for i, r := range rects {
		pieces[i] = c.piece(r, size)
	}
	fill := make([]float32, len(mean))
	for i, m := range mean {
		fill[i] = float32(m * 255)
	}
	return s.DivBy(s.Resample(picture, pieces, size, fill), 255)
}

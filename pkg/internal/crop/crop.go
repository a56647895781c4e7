// Package crop cuts boxes of a picture into the square inputs of CLIP's image tower.
package crop

import (
	"image"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// Mode says how a rectangle of any shape becomes a square. Every mode resizes with
// Pillow's antialiased bicubic. The zero Mode is CLIP.
type Mode string

// The modes, which detect.CropMode describes.
const (
	CLIP   Mode = "clip"
	Squash Mode = "squash"
	Pad    Mode = "pad"
)

// Rect returns the rectangle of whole pixels to cut out for b, in a picture of width x
// height. It scales b about its centre by context, rounds it outward (floor of X0 and Y0,
// ceiling of X1 and Y1), and clips it to the picture. The rectangle has at least one
// pixel: for a box outside the picture it is the nearest pixels.
func Rect(b box.Box, context float64, width, height int) image.Rectangle {
	if context != 1 && !b.Empty() {
		// It halves the edges first, since their difference may be beyond float32. The
		// conversions keep processors from fusing the product with the sum, which could
		// move an edge by a pixel.
		more := float32(context - 1)
		dx, dy := float32(more*(b.X1/2-b.X0/2)), float32(more*(b.Y1/2-b.Y0/2))
		b = box.Box{X0: b.X0 - dx, Y0: b.Y0 - dy, X1: b.X1 + dx, Y1: b.Y1 + dy}
	}
	r := b.Outward()
	x0, x1 := span(r.Min.X, r.Max.X, width)
	y0, y1 := span(r.Min.Y, r.Max.Y, height)
	return image.Rect(x0, y0, x1, y1)
}

// span clips [low,high) to [0,length), and leaves at least one pixel.
func span(low, high, length int) (int, int) {
	low = min(max(low, 0), length-1)
	return low, min(max(high, low+1), length)
}

// piece plans the resampling of r to a square with sides of size.
func (m Mode) piece(r image.Rectangle, size int) torch.Piece {
	w, h := r.Dx(), r.Dy()
	p := torch.Piece{From: r, Width: size, Height: size, To: image.Rect(0, 0, size, size)}
	switch m { // pkg/detect has checked it
	case Squash:
	case Pad:
		if w >= h {
			p.Height = max(1, size*h/w)
		} else {
			p.Width = max(1, size*w/h)
		}
		x, y := (size-p.Width)/2, (size-p.Height)/2
		p.To = image.Rect(x, y, x+p.Width, y+p.Height)
	case CLIP, "":
		// The length of the long side is rounded down, and the corner is rounded half to
		// even, as in torchvision.transforms.functional's resize and center_crop.
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

// Upload copies a picture to the engine's device: uint8 [1,3,H,W].
func Upload(s *torch.Scope, picture *pixels.RGB) torch.Tensor {
	return s.Within(func() torch.Tensor {
		t := torch.Upload(s, picture.Pix, 1, int64(picture.Height), int64(picture.Width), 3)
		return s.Contiguous(s.Permute(t, 0, 3, 1, 2))
	})
}

// Crops cuts N rectangles out of a picture uint8 [1,3,H,W] and resizes them to float32
// [N,3,size,size] in [0,1]. Pad fills with the colour mean, in [0,1]. On a GPU it uploads
// the rectangles, for [OnDevice].
func Crops(s *torch.Scope, picture torch.Tensor, rects []image.Rectangle, mode Mode, size int, mean []float64) torch.Tensor {
	if s.Device().LikeGPU() {
		edges := make([]float32, 0, 4*len(rects)) // exact: a side has less than 2^24 pixels
		for _, r := range rects {
			edges = append(edges, float32(r.Min.X), float32(r.Min.Y), float32(r.Max.X), float32(r.Max.Y))
		}
		return OnDevice(s, picture, torch.Upload(s, edges, int64(len(rects)), 4), 1, mode, size, mean)
	}
	pieces := make([]torch.Piece, len(rects))
	for i, r := range rects {
		pieces[i] = mode.piece(r, size)
	}
	return s.DivBy(s.Resample(picture, pieces, size, values(mean)), 255)
}

// values returns a colour in 0 to 255.
func values(mean []float64) []float32 {
	fill := make([]float32, len(mean))
	for i, m := range mean {
		fill[i] = float32(m * 255)
	}
	return fill
}

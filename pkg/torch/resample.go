package torch

// #include <stdlib.h>
// #include "resample.h"
import "C"

import (
	"fmt"
	"image"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Piece says how one rectangle of a picture becomes one picture of a batch: From is
// resized to Width x Height, and of that the part of To's size at Left, Top goes to
// To in the output. All numbers are pixels; no rectangle may be empty.
type Piece struct {
	From          image.Rectangle
	Width, Height int
	Left, Top     int
	To            image.Rectangle
}

// Resample makes a batch [N,C,size,size], float32 in 0..255, from a picture
// [1,C,H,W] of uint8: a row for each piece, and fill [C] where no piece goes.
//
// Pixels are resampled as Pillow's BICUBIC does: antialiased, Catmull-Rom's kernel
// with a = -0.5, along x, then y, rounded to whole values after each. The loop over
// the pieces runs in C, so that its cost in Go doesn't grow with them.
func (s *Scope) Resample(picture Tensor, pieces []Piece, size int, fill []float32) Tensor {
	if s.Err() != nil {
		return Tensor{}
	}
	shape := shapeOf(picture)
	if len(shape) != 4 || shape[0] != 1 || shape[1] != int64(len(fill)) || len(pieces) == 0 {
		s.Fail(fmt.Errorf("torch: resample: %d pieces of a picture %v with %d fill values; the picture must be "+
			"[1,C,H,W] and the fill [C]", len(pieces), shape, len(fill)))
		return Tensor{}
	}
	bounds := image.Rect(0, 0, int(shape[3]), int(shape[2]))
	raw := make([]C.piece, len(pieces))
	for i, p := range pieces {
		kept := image.Rect(p.Left, p.Top, p.Left+p.To.Dx(), p.Top+p.To.Dy())
		if p.From.Empty() || p.To.Empty() || !p.From.In(bounds) || !p.To.In(image.Rect(0, 0, size, size)) ||
			!kept.In(image.Rect(0, 0, p.Width, p.Height)) {
			s.Fail(fmt.Errorf("torch: resample: piece %d, %+v, doesn't fit a picture of %v and an output of %d", i, p, bounds.Max, size))
			return Tensor{}
		}
		raw[i] = C.piece{
			x0: C.int64_t(p.From.Min.X), y0: C.int64_t(p.From.Min.Y), x1: C.int64_t(p.From.Max.X), y1: C.int64_t(p.From.Max.Y),
			width: C.int64_t(p.Width), height: C.int64_t(p.Height), left: C.int64_t(p.Left), top: C.int64_t(p.Top),
			to_x: C.int64_t(p.To.Min.X), to_y: C.int64_t(p.To.Min.Y), to_w: C.int64_t(p.To.Dx()), to_h: C.int64_t(p.To.Dy()),
		}
	}
	out := s.filled(int64(len(pieces)), fill, int64(size))
	if s.Err() != nil {
		return Tensor{}
	}
	if text := C.resample(C.tensor(picture.c), &raw[0], C.int64_t(len(raw)), C.tensor(out.c)); text != nil {
		defer C.free(unsafe.Pointer(text))
		s.Fail(libtorchError("resample", C.GoString(text)))
		return Tensor{}
	}
	return out
}

// filled is [n,C,size,size] with one value a channel, laid out for writing.
func (s *Scope) filled(n int64, fill []float32, size int64) Tensor {
	values := s.Expand(Upload(s, fill, 1, int64(len(fill)), 1, 1), n, int64(len(fill)), size, size)
	return s.op("clone", func(out *libtch.Ctensor) { libtch.AtgContiguous(out, values.c) })
}

package torch

// #cgo CFLAGS: -O3
// #cgo LDFLAGS: -lm
// #include <stdlib.h>
// #include "resample_host.h"
import "C"

import (
	"fmt"
	"image"
	"sync"
	"sync/atomic"

	"github.com/sugarme/gotch/libtch"
)

// Piece says how one rectangle of a picture becomes one picture of a batch. From is
// resized to Width x Height. A part of that, of To's size with the corner at Left, Top,
// becomes To in the output. All numbers are pixels. No rectangle may be empty.
type Piece struct {
	From          image.Rectangle
	Width, Height int
	Left, Top     int
	To            image.Rectangle
}

// Resample returns a batch [N,C,size,size], float32 in 0..255, of a picture [1,C,H,W] of
// uint8: a picture for each piece, and the colour fill [C] around it.
//
// It resamples as Pillow's BICUBIC does: antialiased, with Catmull-Rom's kernel (a =
// -0.5), along x and then y, and rounded to whole values after each. The loop over the
// pieces is in C, so that its cost in Go doesn't grow with them. It is for tensors of the
// CPU. [Scope.ResampleInOps] is for any device, and on the CPU takes many times as long.
func (s *Scope) Resample(picture Tensor, pieces []Piece, size int, fill []float32) Tensor {
	if s.Err() != nil {
		return Tensor{}
	}
	shape := shapeOf(picture)
	if len(shape) != 4 || shape[0] != 1 || shape[1] != int64(len(fill)) || len(pieces) == 0 || s.DType(picture) != Uint8 {
		s.Fail(fmt.Errorf("torch: resample: %d pieces of a picture %v of %s with %d fill values; the picture must be "+
			"[1,C,H,W] of uint8 and the fill [C]", len(pieces), shape, s.DType(picture), len(fill)))
		return Tensor{}
	}
	bounds := image.Rect(0, 0, int(shape[3]), int(shape[2]))
	for i, p := range pieces {
		kept := image.Rect(p.Left, p.Top, p.Left+p.To.Dx(), p.Top+p.To.Dy())
		if p.From.Empty() || p.To.Empty() || !p.From.In(bounds) || !p.To.In(image.Rect(0, 0, size, size)) ||
			!kept.In(image.Rect(0, 0, p.Width, p.Height)) {
			s.Fail(fmt.Errorf("torch: resample: piece %d, %+v, doesn't fit a picture of %v and an output of %d", i, p, bounds.Max, size))
			return Tensor{}
		}
	}
	if s.Device().IsCUDA() {
		s.Fail(fmt.Errorf("torch: resample: the picture is on %v, and this is for the CPU", s.Device()))
		return Tensor{}
	}
	picture = s.Contiguous(picture)
	out := s.filled(int64(len(pieces)), fill, int64(size))
	if s.Err() != nil {
		return Tensor{}
	}
	if err := resampleHost(picture, pieces, out, s.engine.threads); err != nil {
		s.Fail(err)
		return Tensor{}
	}
	return out
}

// resampleHost resamples tensors of the CPU. The caller and other threads share the
// pieces. The other threads don't call libtorch.
func resampleHost(picture Tensor, pieces []Piece, out Tensor, threads int) error {
	raw := make([]C.piece, len(pieces))
	for i, p := range pieces {
		raw[i] = C.piece{
			x0: C.int64_t(p.From.Min.X), y0: C.int64_t(p.From.Min.Y), x1: C.int64_t(p.From.Max.X), y1: C.int64_t(p.From.Max.Y),
			width: C.int64_t(p.Width), height: C.int64_t(p.Height), left: C.int64_t(p.Left), top: C.int64_t(p.Top),
			to_x: C.int64_t(p.To.Min.X), to_y: C.int64_t(p.To.Min.Y), to_w: C.int64_t(p.To.Dx()), to_h: C.int64_t(p.To.Dy()),
		}
	}
	in, batch := shapeOf(picture), shapeOf(out)
	from, to := (*C.uint8_t)(libtch.AtDataPtr(picture.c)), (*C.float)(libtch.AtDataPtr(out.c))
	threads = min(threads, len(pieces))
	var failed atomic.Int32
	part := func(first int) {
		failed.Add(int32(C.resample_host(from, C.int64_t(in[1]), C.int64_t(in[2]), C.int64_t(in[3]),
			&raw[0], C.int64_t(len(raw)), C.int64_t(first), C.int64_t(threads), to, C.int64_t(batch[3]))))
	}
	var others sync.WaitGroup
	for first := 1; first < threads; first++ {
		others.Go(func() { part(first) })
	}
	part(0)
	others.Wait()
	if failed.Load() > 0 {
		return fmt.Errorf("torch: resample %d pieces: %w", len(pieces), ErrOutOfMemory)
	}
	return nil
}

// filled returns [n,C,size,size] with one value for each channel, to write into.
func (s *Scope) filled(n int64, fill []float32, size int64) Tensor {
	values := s.Expand(Upload(s, fill, 1, int64(len(fill)), 1, 1), n, int64(len(fill)), size, size)
	return s.op("clone", func(out *libtch.Ctensor) { libtch.AtgContiguous(out, values.c) })
}

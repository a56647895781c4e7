package rpn

import (
	"slices"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// large is the number of pixels from which Propose itself resizes a picture, 2 million.
// The archive would first convert all of the picture to float32, which takes 24 bytes per
// pixel.
const large = 1 << 21

// Input returns the size at which a network sees a picture.
func Input(m archive.Manifest, of Size) Size {
	height, width := m.Resized(of.Height, of.Width)
	return Size{Height: height, Width: width}
}

// shrink returns large pictures of one size as the network sees them, float32 [B,3,h,w]
// in 0..255, and that size. Values differ from the archive's own resize by rounding.
// Other pictures come back as they are.
func (n *Network) shrink(s *torch.Scope, pictures torch.Tensor, size Size) (torch.Tensor, Size) {
	small := Input(n.manifest, size)
	// Rounding may make a side one pixel shorter than the archive leaves alone.
	if again := Input(n.manifest, small); again != small {
		small = again
	}
	if size.Height*size.Width < large || small != Input(n.manifest, small) || small.Height > size.Height || small.Width > size.Width {
		return pictures, size
	}
	return bilinear(s, pictures, size, small), small
}

// sameSize reports whether all pictures of a batch of the shape have its size.
func sameSize(sizes []Size, shape []int64) bool {
	whole := Size{Height: int(shape[2]), Width: int(shape[3])}
	return !slices.ContainsFunc(sizes, func(size Size) bool { return size != whole })
}

// scaled returns proposals [B,K,5] in pixels of the picture, of those in pixels of what the
// network saw.
func scaled(s *torch.Scope, rows torch.Tensor, seen, size Size) torch.Tensor {
	if seen == size {
		return rows
	}
	width, height := float32(size.Width), float32(size.Height)
	x, y := width/float32(seen.Width), height/float32(seen.Height)
	return s.Within(func() torch.Tensor {
		wide := s.Mul(rows, torch.Upload(s, []float32{x, y, x, y, 1}, columns))
		return s.Minimum(wide, torch.Upload(s, []float32{width, height, width, height, 1}, columns))
	})
}

// bilinear resizes uint8 [B,3,H,W] to float32 [B,3,h,w], as torch.nn.functional.interpolate
// does with mode="bilinear" and align_corners=False: an output pixel is the mean of the
// four pixels around its centre, weighted by how near they are. Only those are converted.
func bilinear(s *torch.Scope, pictures torch.Tensor, from, to Size) torch.Tensor {
	return s.Within(func() torch.Tensor {
		h, w := int64(to.Height), int64(to.Width)
		rows, down := around(from.Height, to.Height)
		columns, across := around(from.Width, to.Width)
		t := s.IndexSelect(pictures, 2, torch.Upload(s, rows, 2*h))
		t = s.To(s.IndexSelect(t, 3, torch.Upload(s, columns, 2*w)), torch.Float32) // [B,3,2h,2w]
		mix := func(t torch.Tensor, dim, length int64, weights torch.Tensor) torch.Tensor {
			first := s.Slice(t, dim, 0, length)
			return s.Add(first, s.Mul(s.Sub(s.Slice(t, dim, length, 2*length), first), weights))
		}
		t = mix(t, 3, w, torch.Upload(s, across, w))
		return mix(t, 2, h, torch.Upload(s, down, h, 1))
	})
}

// around returns, for each of an axis's new samples, the old sample before its centre,
// and after these the old samples after the centres; and the weights of the latter.
func around(from, to int) (samples []int64, weights []float32) {
	samples, weights = make([]int64, 2*to), make([]float32, to)
	scale := float32(from) / float32(to)
	for i := range to {
		centre := max(0, scale*(float32(i)+0.5)-0.5)
		before := min(int(centre), from-1)
		samples[i], samples[to+i] = int64(before), int64(min(before+1, from-1))
		weights[i] = centre - float32(before)
	}
	return samples, weights
}

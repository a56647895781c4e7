package clip

import (
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// SampleCrops returns n crops [n,3,S,S] of the tower's size for measuring.
func (e *Encoder) SampleCrops(s *torch.Scope, n int) torch.Tensor {
	side := int64(e.manifest.InputSize)
	values := make([]float32, int64(n)*3*side*side)
	for i := range values {
		values[i] = float32(i*2654435761>>8&255) / 255
	}
	return torch.Upload(s, values, int64(n), 3, side, side)
}

// The limits of TimePerCrop: how long all of it takes, and one pass.
const (
	timeAll  = 500 * time.Millisecond
	timePass = 120 * time.Millisecond
)

// TimePerCrop returns how long each of two image towers takes for a crop on a CPU. A pass
// encodes as many crops at once as EncodeAll does, or fewer to take timePass only. It encodes
// at least two, since a single crop waits mostly for the weights, which have fewer bytes
// in some types.
func TimePerCrop(s *torch.Scope, a, b *Encoder) (ofA, ofB time.Duration) {
	pass := func(tower *Encoder, n int) time.Duration {
		crops := tower.SampleCrops(s, n)
		start := time.Now()
		s.Within(func() torch.Tensor {
			tower.Encode(s, crops)
			return torch.Tensor{}
		})
		return time.Since(start) / time.Duration(n)
	}
	start := time.Now()
	one := pass(a, 1)
	if one < timePass/4 { // a small tower's first pass is mostly preparation
		pass(b, 1)
		one = pass(a, 1)
	}
	n := min(max(2, int(timePass/max(1, one))), a.block())
	ofA, ofB = pass(a, n), pass(b, n)
	for range 2 { // the best counts: disturbances only make it slower
		if s.Err() != nil || time.Since(start)+time.Duration(n)*(ofA+ofB) > timeAll {
			break
		}
		ofA, ofB = min(ofA, pass(a, n)), min(ofB, pass(b, n))
	}
	return ofA, ofB
}

package clip

import (
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// SampleCrops makes n crops [n,3,S,S] of the tower's size, to measure it with.
func (e *Encoder) SampleCrops(s *torch.Scope, n int) torch.Tensor {
	side := int64(e.manifest.InputSize)
	values := make([]float32, int64(n)*3*side*side)
	for i := range values {
		values[i] = float32(i*2654435761>>8&255) / 255
	}
	return torch.Upload(s, values, int64(n), 3, side, side)
}

// What TimePerCrop aims at: how long all takes, and one pass.
const (
	timeAll  = 500 * time.Millisecond
	timePass = 120 * time.Millisecond
)

// TimePerCrop measures how long two image towers take for a crop on a CPU. It takes a
// block, as EncodeAll does, or as many crops as take half a second in all. It takes two at
// least, since one alone waits mostly for the weights, of which some types have less.
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
	if one < timePass/4 { // a first pass prepares the tower, which counts if it is small
		pass(b, 1)
		one = pass(a, 1)
	}
	n := min(max(2, int(timePass/max(1, one))), block)
	ofA, ofB = pass(a, n), pass(b, n)
	for range 2 { // what disturbs makes it slower, so the best counts
		if s.Err() != nil || time.Since(start)+time.Duration(n)*(ofA+ofB) > timeAll {
			break
		}
		ofA, ofB = min(ofA, pass(a, n)), min(ofB, pass(b, n))
	}
	return ofA, ofB
}

package clip

import (
	"time"

	"github.com/clipdet/clipdet/pkg/torch"
)

// Crops makes n crops [n,3,S,S] of the tower's size, to measure it with.
func (e *Encoder) Crops(s *torch.Scope, n int) torch.Tensor {
	side := int64(e.manifest.InputSize)
	values := make([]float32, int64(n)*3*side*side)
	for i := range values {
		values[i] = float32(i*2654435761>>8&255) / 255
	}
	return torch.Upload(s, values, int64(n), 3, side, side)
}

// What TimePerCrop aims at: how long all takes, and a pass of each tower.
const (
	timeAll  = 500 * time.Millisecond
	timePass = 120 * time.Millisecond
)

// TimePerCrop measures how long two image towers take for a crop on a CPU. It takes a
// block, as EncodeAll does, or as many crops as take half a second in all, one at least.
// A b that is far slower than a with one crop isn't tried with more.
func TimePerCrop(s *torch.Scope, a, b *Encoder) (ofA, ofB time.Duration) {
	pass := func(tower *Encoder, n int) time.Duration {
		crops := tower.Crops(s, n)
		start := time.Now()
		s.Within(func() torch.Tensor {
			tower.Encode(s, crops)
			return torch.Tensor{}
		})
		return time.Since(start) / time.Duration(n)
	}
	start := time.Now()
	// The first pass of a tower also prepares it. Where that counts, it isn't measured.
	for i := 0; i < 2 && time.Since(start) < timePass/4; i++ {
		ofA, ofB = pass(a, 1), pass(b, 1)
	}
	if s.Err() != nil || ofB > timePass && ofB > 2*ofA {
		return ofA, ofB
	}
	n := int(min(timePass/min(ofA, ofB), 2*timePass/max(ofA, ofB), block))
	n = max(n, 1)
	ofA, ofB = pass(a, n), pass(b, n)
	for range 2 { // what disturbs makes it slower, so the best counts
		if time.Since(start)+time.Duration(n)*(ofA+ofB) > timeAll {
			break
		}
		ofA, ofB = min(ofA, pass(a, n)), min(ofB, pass(b, n))
	}
	return ofA, ofB
}

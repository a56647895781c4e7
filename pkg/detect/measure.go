package detect

import (
	"context"
	"fmt"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// maxEncode bounds the memory of EncodeTime. No device is faster with more crops.
const maxEncode = 1 << 14

// EncodeTime returns how long the image tower takes for one batch of n crops of made-up
// pixels, 16,384 at most. It is for benchmarks of batch sizes.
func (d *Detector) EncodeTime(ctx context.Context, n int) (took time.Duration, err error) {
	if n < 1 || n > maxEncode {
		return 0, fmt.Errorf("detect: %w: a batch of %d crops; 1 to %d can be", ErrOption, n, maxEncode)
	}
	err = d.engine.Do(ctx, func(s *torch.Scope) error {
		crops := d.image.SampleCrops(s, n)
		s.Synchronize()
		start := time.Now()
		d.image.Encode(s, crops)
		s.Synchronize()
		took = time.Since(start)
		return s.Err()
	})
	if err != nil {
		return 0, fmt.Errorf("detect: %w", publicError(err))
	}
	return took, nil
}

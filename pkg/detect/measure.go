package detect

import (
	"context"
	"fmt"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// EncodeTime returns how long the image tower takes for one batch of n crops of made-up
// pixels. It is for benchmarks of batch sizes.
func (d *Detector) EncodeTime(ctx context.Context, n int) (took time.Duration, err error) {
	if n < 1 {
		return 0, fmt.Errorf("detect: %w: a batch of %d crops", ErrOption, n)
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
		return 0, fmt.Errorf("detect: %w", err)
	}
	return took, nil
}

package torch

import (
	"time"

	"github.com/sugarme/gotch/libtch"
)

// The dtypes that weights may have beside Float32.
const (
	Float16  DType = 5
	BFloat16 DType = 15
)

// MatmulRate measures how many floating-point operations a second the device does in
// products of two matrices [n,n] of random numbers of the dtype, two operations for a
// multiply-add. It goes on for about as long as it is told, three products at least,
// and gives the best, since whatever disturbs makes it slower. It is 0 after an error.
func (s *Scope) MatmulRate(dtype DType, n int64, long time.Duration) float64 {
	random := func() Tensor {
		return s.op("rand", func(out *libtch.Ctensor) {
			libtch.AtgRand(out, []int64{n, n}, 2, int32(dtype), s.Device().code())
		})
	}
	a, b := random(), random()
	product := func() time.Duration {
		s.Synchronize()
		start := time.Now()
		s.Within(func() Tensor {
			s.Matmul(a, b)
			return Tensor{}
		})
		s.Synchronize()
		return time.Since(start)
	}
	best := product() // the first one also sets libtorch up
	for start, i := time.Now(), 0; (i < 3 || time.Since(start) < long) && s.Err() == nil; i++ {
		best = min(best, product())
	}
	if s.Err() != nil {
		return 0
	}
	return 2 * float64(n) * float64(n) * float64(n) / best.Seconds()
}

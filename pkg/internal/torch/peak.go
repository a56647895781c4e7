package torch

import (
	"time"

	"github.com/sugarme/gotch/libtch"
)

// Further dtypes that weights may have.
const (
	BFloat16 DType = 15
	Int8     DType = 1
)

// MatmulRate returns the operations a second of products of two matrices [n,n] of random
// numbers of the dtype; products of Int8 are added up in int32. A multiply-add is two
// operations. It measures for about as long as long says, but at least three products, and
// returns the best rate, since disturbances only make it slower. It returns 0 after an
// error.
func (s *Scope) MatmulRate(dtype DType, n int64, long time.Duration) float64 {
	multiply := s.Matmul
	random := func() Tensor {
		return s.op("rand", func(out *libtch.Ctensor) {
			libtch.AtgRand(out, []int64{n, n}, 2, int32(dtype), s.Device().code())
		})
	}
	if dtype == Int8 {
		multiply = func(a, b Tensor) Tensor {
			return s.op("int_mm", func(out *libtch.Ctensor) { libtch.Atg_IntMm(out, a.c, b.c) })
		}
		random = func() Tensor {
			return s.op("randint", func(out *libtch.Ctensor) {
				libtch.AtgRandint(out, 127, []int64{n, n}, 2, int32(dtype), s.Device().code())
			})
		}
	}
	a, b := random(), random()
	product := func() time.Duration {
		s.Synchronize()
		start := time.Now()
		s.Within(func() Tensor {
			multiply(a, b)
			return Tensor{}
		})
		s.Synchronize()
		return time.Since(start)
	}
	best := product() // the first also initialises libtorch
	for start, i := time.Now(), 0; (i < 3 || time.Since(start) < long) && s.Err() == nil; i++ {
		best = min(best, product())
	}
	if s.Err() != nil {
		return 0
	}
	return 2 * float64(n) * float64(n) * float64(n) / best.Seconds()
}

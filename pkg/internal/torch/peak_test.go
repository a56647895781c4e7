package torch

import (
	"strings"
	"testing"
)

func TestMatmulRate(t *testing.T) {
	if err := start(t).Do(t.Context(), func(s *Scope) error {
		dtypes := []DType{Float32, BFloat16}
		if strings.HasPrefix(Version(), "2.11.") { // libtorch 2.1 has no such product on CPUs
			dtypes = append(dtypes, Int8)
		}
		for _, dtype := range dtypes {
			before := Live()
			if rate := s.MatmulRate(dtype, 64, 0); rate <= 0 {
				t.Errorf("%v: %v operations a second", dtype, rate)
			}
			if n := Live() - before; n > 2 {
				t.Errorf("%v: %d tensors are left, want the factors alone", dtype, n)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

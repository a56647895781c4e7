package torch

import "testing"

func TestMatmulRate(t *testing.T) {
	if err := start(t).Do(t.Context(), func(s *Scope) error {
		for _, dtype := range []DType{Float32, BFloat16} {
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

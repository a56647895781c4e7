package detect

import (
	"errors"
	"testing"
)

func TestEncodeTime(t *testing.T) {
	d := open(t, Options{})
	for _, n := range []int{-1, 0, maxEncode + 1, 1 << 50} {
		if _, err := d.EncodeTime(t.Context(), n); !errors.Is(err, ErrOption) {
			t.Errorf("%d crops: got %v, want ErrOption", n, err)
		}
	}
	if took, err := d.EncodeTime(t.Context(), 2); took <= 0 || err != nil {
		t.Errorf("2 crops took %v, %v", took, err)
	}
}

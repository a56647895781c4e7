package bench

import (
	"math"
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

func TestQuantile(t *testing.T) {
	values := []float64{4, 1, 3, 2, 5}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.9: 4.6, 1: 5} {
		if got := quantile(values, q); math.Abs(got-want) > 1e-12 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := quantile([]float64{7}, 0.99); got != 7 {
		t.Errorf("the quantile of one value is %v, want 7", got)
	}
}

func TestWorkIsComparedWithThePeak(t *testing.T) {
	r := Report{Peaks: map[string]peak{model.Float32: {Rate: 100}, model.BFloat16: {Rate: 1000}}}
	// At the peak, 100 pixels at 2 operations take 2 s, and 4 crops at 500 take 2 s more.
	rpn, image := part{model.Float32, 2, 100}, part{model.BFloat16, 500, 4}
	if w := r.work(8, rpn, image); w == nil || w.FLOPs != 2200 || w.Utilisation != 0.5 || w.Of != "float32,bfloat16" {
		t.Errorf("got %+v, want half of the peak", w)
	}
	image.perUnit = 0
	if w := r.work(8, rpn, image); w != nil {
		t.Errorf("got %+v of operations that nobody counted", w)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 1.234: "1.23", 9.999: "10.0", 12.34: "12.3", 99.96: "100", 12345.6: "12346"} {
		if got := digits(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 5: "5", 0.25: "0.25", 1234567: "1,234,567", 12.5: "12.5", 100: "100"} {
		if got := plotNumber(v); got != want {
			t.Errorf("%v is plotted %q, want %q", v, got, want)
		}
	}
	for most, want := range map[float64]float64{3: 0.5, 435: 100, 8: 1, 9: 2, 80_000: 10_000} {
		if got := tick(most); math.Abs(got-want) > 1e-9*want {
			t.Errorf("ticks up to %v are %v apart, want %v", most, got, want)
		}
	}
	gpu := machine{CPU: "x", GPU: &gpuName{Name: "NVIDIA <H100>"}}
	if gpu.where() != "NVIDIA <H100>" {
		t.Errorf("%+v is %q", gpu, gpu.where())
	}
	if gpuInUse("cpu") != 0 {
		t.Error("the CPU has memory of a GPU in use")
	}
}

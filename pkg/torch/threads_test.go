package torch_test

import (
	"runtime"
	"testing"

	"github.com/clipdet/clipdet/pkg/torch"
	"github.com/clipdet/clipdet/pkg/torch/torchtest"
)

func TestEnginesLeaveNoThreadBehind(t *testing.T) {
	cycle := func() {
		e, err := torch.Start(torch.CPU, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Do(t.Context(), func(s *torch.Scope) error {
			a := torch.Upload(s, make([]float32, 1<<18), 512, 512)
			s.Matmul(a, a)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		e.Close()
	}
	cycle()
	threads, goroutines := torchtest.Threads(t), runtime.NumGoroutine()
	for range 20 {
		cycle()
	}
	// The runtime and OpenMP may hold a few; an engine that leaked would add 20.
	torchtest.Within(t, "OS threads", threads+6, func() int { return torchtest.Threads(t) })
	torchtest.NoMoreGoroutines(t, goroutines)
}

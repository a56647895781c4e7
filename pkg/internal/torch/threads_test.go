package torch_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
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
	// Go's runtime and OpenMP may hold a few. An engine that leaked its thread would add
	// 20.
	torchtest.Within(t, "OS threads", threads+6, func() int { return torchtest.Threads(t) })
	torchtest.NoMoreGoroutines(t, goroutines)
}

// TestEnginesKeepTheirThreads counts the threads that work for each of several engines,
// which are all started before one works. A thread that OpenMP makes has the name of the
// thread that asks for it.
func TestEnginesKeepTheirThreads(t *testing.T) {
	numbers := []int{2, 3, 1, 4}
	engines, names := make([]*torch.Engine, len(numbers)), make([]string, len(numbers))
	for i, n := range numbers {
		engine, err := torch.Start(torch.CPU, n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { engine.Close() })
		engines[i] = engine
		if err := engine.Do(t.Context(), func(*torch.Scope) error {
			self, err := os.Readlink("/proc/thread-self")
			names[i] = "omp " + filepath.Base(self) // the thread's number is unique
			return errors.Join(err, os.WriteFile("/proc/thread-self/comm", []byte(names[i]), 0))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, work := range []struct {
		name string
		do   func(s *torch.Scope)
	}{
		{"an elementwise operation", func(s *torch.Scope) {
			s.Sqrt(torch.Upload(s, make([]float32, 1<<20), 1024, 1024))
		}},
		{"a matrix product", func(s *torch.Scope) {
			a := torch.Upload(s, make([]float32, 1<<20), 1024, 1024)
			s.Matmul(a, a)
		}},
	} {
		for i, n := range numbers {
			if err := engines[i].Do(t.Context(), func(s *torch.Scope) error {
				work.do(s)
				return s.Err()
			}); err != nil {
				t.Fatal(err)
			}
			if got := named(t, names[i]); got != n {
				t.Errorf("%s on an engine of %d threads used %d", work.name, n, got)
			}
		}
	}
}

// named returns the number of threads of this process with a name.
func named(t *testing.T, name string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads can be seen: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		// A thread that has ended meanwhile doesn't count.
		if err == nil && strings.TrimSpace(string(text)) == name {
			n++
		}
	}
	return n
}

func TestDefaultThreads(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	for value, want := range map[string]int{
		"": processors, "3": 3, " 5 ": 5, "4,2": 4, "4, 2,1": 4, "0": processors, "-2": processors, "many": processors,
		"3x": processors, "2,x": processors, "2,": processors, "1.5": processors, "99999999999999999999": processors, "100000": torch.MaxThreads,
	} {
		t.Setenv("OMP_NUM_THREADS", value)
		if got := torch.DefaultThreads(); got != want {
			t.Errorf("OMP_NUM_THREADS=%q: %d threads, want %d", value, got, want)
		}
	}
}

package torch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestEveryFailureIsItsCallers checks that a failure is the error of the call that caused
// it, and that 32 other goroutines get right answers meanwhile.
func TestEveryFailureIsItsCallers(t *testing.T) {
	e := start(t)
	adder, throws := load(t, e, odd("adder")), load(t, e, odd("throws"))
	foreign := keep(t, start(t), 1)
	dropped := keep(t, e, 1)
	dropped.Drop()
	// This work frees what was dropped.
	if err := e.Do(t.Context(), func(*Scope) error { return nil }); err != nil {
		t.Fatal(err)
	}
	corrupt := filepath.Join(t.TempDir(), "corrupt.pt")
	whole, err := os.ReadFile(odd("adder"))
	if err == nil {
		err = os.WriteFile(corrupt, whole[:2*len(whole)/3], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	own, ended := errors.New("own"), errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ended)
	two := func(s *Scope) Tensor { return Upload(s, []float32{1, 2}, 2) }

	faults := []struct {
		name string
		work func(s *Scope) error
		want error  // for errors.Is, nil for any
		says string // in the error
	}{
		{"wrong shape", func(s *Scope) error { s.Matmul(two(s), Upload(s, make([]float32, 3), 3)); return nil }, ErrLibtorch, "matmul"},
		{"wrong dtype", func(s *Scope) error { s.Matmul(two(s), Upload(s, []int64{1, 2}, 2)); return nil }, ErrLibtorch, "matmul"},
		{"a dimension that isn't there", func(s *Scope) error { s.Softmax(two(s), 9); return nil }, ErrLibtorch, "softmax"},
		{"an index that isn't there", func(s *Scope) error { s.IndexSelect(two(s), 0, Upload(s, []int64{7}, 1)); return nil }, ErrLibtorch, "index"},
		{"out of memory", func(s *Scope) error {
			s.Contiguous(s.Expand(Upload(s, []uint8{1}, 1), 1<<50))
			return nil
		}, ErrOutOfMemory, "contiguous"},
		{"a module that throws", func(s *Scope) error { s.Forward(throws, two(s)); return nil }, ErrLibtorch, "this module always fails"},
		{"a module's wrong shape", func(s *Scope) error {
			s.Forward(adder, two(s), Upload(s, make([]float32, 3), 3))
			return nil
		}, ErrLibtorch, "adder"},
		{"a missing method", func(s *Scope) error { s.Call(adder, "backward", 1, two(s), two(s)); return nil }, ErrLibtorch, "backward"},
		{"more results than there are", func(s *Scope) error { s.Call(adder, "forward", 2, two(s), two(s)); return nil }, ErrLibtorch, "has 1 tensors"},
		{"a corrupt archive", func(s *Scope) error { _, err := s.Load(corrupt); return err }, ErrLibtorch, "corrupt.pt"},
		{"no archive", func(s *Scope) error { _, err := s.Load("none.pt"); return err }, fs.ErrNotExist, "none.pt"},
		{"an upload of another size", func(s *Scope) error { Upload(s, []float32{1}, 2); return nil }, nil, "don't fill the shape"},
		{"a download of another type", func(s *Scope) error { Download[int64](s, two(s)); return nil }, nil, "float32"},
		{"another engine's tensor", func(s *Scope) error { s.Use(foreign); return nil }, nil, "another engine"},
		{"a dropped tensor", func(s *Scope) error { s.Use(dropped); return nil }, ErrClosed, ""},
		{"the work's own error", func(s *Scope) error { s.Sqrt(two(s)); return own }, own, "own"},
		{"a panic", func(s *Scope) error { return fmt.Errorf("never: %v", Download[float32](s, two(s))[5]) }, ErrPanic, "index out of range"},
		{"an ended context", nil, ended, "ended"},
	}

	before, stop := Live(), make(chan struct{})
	var good sync.WaitGroup
	for g := range 32 {
		good.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				err := e.Do(t.Context(), func(s *Scope) error {
					a := Upload(s, []float32{float32(g), float32(i)}, 2)
					got := Download[float32](s, s.Mul(s.Forward(adder, a, a), a))
					if s.Err() == nil && (got[0] != float32(2*g*g) || got[1] != 2*float32(i)*float32(i)) {
						return fmt.Errorf("got %v for %d and %d", got, g, i)
					}
					return nil
				})
				if err != nil {
					t.Errorf("goroutine %d, good call %d: %v", g, i, err)
					return
				}
			}
		})
	}
	for range 2 {
		for _, fault := range faults {
			with, work := t.Context(), fault.work
			if work == nil {
				with, work = ctx, func(*Scope) error { return nil }
			}
			err := e.Do(with, work)
			if err == nil || fault.want != nil && !errors.Is(err, fault.want) ||
				!strings.Contains(err.Error(), fault.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %q, want one line with %q that is %v", fault.name, err, fault.says, fault.want)
			}
		}
	}
	close(stop)
	good.Wait()
	if n := Live() - before; n != 0 {
		t.Errorf("%d tensors are left", n)
	}
}

func keep(t *testing.T, e *Engine, value float32) (kept *Kept) {
	t.Helper()
	if err := e.Do(t.Context(), func(s *Scope) error {
		kept = s.Keep(Upload(s, []float32{value}, 1))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestShortWorkDoesntWaitForLong checks that short work runs within long work that
// pauses, and before the work that waits behind it.
func TestShortWorkDoesntWaitForLong(t *testing.T) {
	e := start(t)
	kept := keep(t, e, 1)
	started, asked := make(chan struct{}), make(chan struct{})
	var order []string // used on the engine's thread only
	var callers sync.WaitGroup
	callers.Go(func() {
		if err := e.Do(t.Context(), func(s *Scope) error {
			a := Upload(s, []float32{4}, 1)
			close(started)
			<-asked
			before := Live()
			// If nothing runs in between, the test times out.
			for len(order) == 0 {
				s.Pause()
			}
			if n := Live() - before; n != -1 {
				t.Errorf("the number of tensors changed by %d in the pause, want the dropped one freed", n)
			}
			if root := Download[float32](s, s.Sqrt(a)); root[0] != 2 {
				t.Errorf("after the pause the root of 4 is %v", root)
			}
			order = append(order, "long")
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-started
	callers.Go(func() {
		if err := e.Do(t.Context(), func(*Scope) error { order = append(order, "waiting"); return nil }); err != nil {
			t.Error(err)
		}
	})
	kept.Drop()
	close(asked)
	if err := e.DoShort(t.Context(), func(s *Scope) error {
		order = append(order, "short")
		// This is the error of the short work only.
		s.Matmul(Upload(s, []float32{1}, 1), Upload(s, []float32{1, 2}, 2))
		return nil
	}); !errors.Is(err, ErrLibtorch) {
		t.Errorf("got %v, want ErrLibtorch", err)
	}
	callers.Wait()
	if got := strings.Join(order, " "); got != "short long waiting" {
		t.Errorf("the order is %q", got)
	}
}

// TestDropDoesntWait checks that Drop returns while the engine works.
func TestDropDoesntWait(t *testing.T) {
	e := start(t)
	kept := keep(t, e, 1)
	started, release := make(chan struct{}), make(chan struct{})
	var callers sync.WaitGroup
	callers.Go(func() {
		if err := e.Do(t.Context(), func(*Scope) error { close(started); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-started
	kept.Drop() // if it waits, the test times out
	close(release)
	callers.Wait()
	if err := e.Do(t.Context(), func(s *Scope) error { s.Use(kept); return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v after Drop, want ErrClosed", err)
	}
	if n := Live(); n != 0 {
		t.Errorf("%d tensors live after Drop", n)
	}
}

func TestFree(t *testing.T) {
	if err := start(t).Do(t.Context(), func(s *Scope) error {
		a := Upload(s, []float32{4}, 1)
		before := Live()
		b := s.Within(func() Tensor {
			s.Free(a)
			s.Sqrt(Upload(s, []float32{4}, 1))
			return Upload(s, []float32{9}, 1)
		})
		if n := Live() - before; n != 0 {
			t.Errorf("%d more tensors live after one was freed and one was made", n)
		}
		if root := Download[float32](s, s.Sqrt(b)); root[0] != 3 {
			t.Errorf("the root of 9 is %v", root)
		}
		s.Free(a) // does nothing
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := Live(); n != 0 {
		t.Errorf("%d tensors live after the work", n)
	}
}

func TestAnEndedGoroutineEndsNoEngine(t *testing.T) {
	e := start(t)
	kept := keep(t, e, 9)
	for range 3 {
		err := e.Do(t.Context(), func(s *Scope) error { s.Use(kept); runtime.Goexit(); return nil })
		if !errors.Is(err, ErrPanic) {
			t.Errorf("got %v, want ErrPanic", err)
		}
		var root []float32
		err = e.Do(t.Context(), func(s *Scope) error { root = Download[float32](s, s.Sqrt(s.Use(kept))); return nil })
		if err != nil || root[0] != 3 {
			t.Errorf("afterwards: %v, %v; want the root 3", root, err)
		}
	}
	e.Close()
	if n := Live(); n != 0 {
		t.Errorf("%d tensors live after Close", n)
	}
}

func TestAPanicHasItsStack(t *testing.T) {
	err := start(t).Do(t.Context(), func(*Scope) error { return panics() })
	var panicked *PanicError
	if !errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "panics") {
		t.Errorf("got %v, want a PanicError with the function in its stack", err)
	}
}

func panics() error {
	return []error{nil}[strings.Count("panics", "n")]
}

package torch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDoRunsAndReturnsTheWorksError(t *testing.T) {
	e := start(t)
	own := errors.New("own")
	if err := e.Do(t.Context(), func(*Scope) error { return own }); err != own {
		t.Errorf("got %v, want the work's own error", err)
	}
	if err := e.Do(t.Context(), func(s *Scope) error { s.Fail(own); return nil }); err != own {
		t.Errorf("got %v, want the scope's error", err)
	}
	if err := e.Do(t.Context(), func(*Scope) error { return nil }); err != nil {
		t.Errorf("got %v after the errors, want none", err)
	}
}

func TestScopeFreesWithAndWithoutError(t *testing.T) {
	e := start(t)
	for _, bad := range []bool{false, true} {
		before := Live()
		err := e.Do(t.Context(), func(s *Scope) error {
			a := Upload(s, []float32{1, 2, 3}, 3)
			b := Upload(s, []float32{1, 2}, 2)
			if bad {
				s.Mul(a, b)
			}
			s.Mul(a, a)
			return nil
		})
		if bad != (err != nil) {
			t.Errorf("bad %v: got error %v", bad, err)
		}
		if n := Live() - before; n != 0 {
			t.Errorf("bad %v: %d tensors are left", bad, n)
		}
	}
}

func TestFirstErrorWinsAndLaterOperationsDoNothing(t *testing.T) {
	e := start(t)
	err := e.Do(t.Context(), func(s *Scope) error {
		a := Upload(s, []float32{1, 2, 3, 4, 5, 6}, 2, 3)
		bad := s.Matmul(a, a)
		before := Live()
		s.Softmax(bad, 7)
		s.Cat(0, bad, a)
		if values := Download[float32](s, bad); values != nil {
			t.Errorf("a download after an error gave %v", values)
		}
		if n := Live() - before; n != 0 {
			t.Errorf("operations after an error made %d tensors", n)
		}
		return nil
	})
	if !errors.Is(err, ErrLibtorch) || !strings.Contains(err.Error(), "matmul") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line of libtorch's about matmul", err)
	}
}

func TestKeepOutlivesItsScope(t *testing.T) {
	e := start(t)
	var kept *Kept
	if err := e.Do(t.Context(), func(s *Scope) error {
		kept = s.Keep(Upload(s, []float32{4, 9}, 2))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := Live(); n != 1 {
		t.Errorf("%d tensors live with one kept", n)
	}
	read := func(e *Engine) (values []float32, err error) {
		err = e.Do(t.Context(), func(s *Scope) error {
			values = Download[float32](s, s.Sqrt(s.Use(kept)))
			return nil
		})
		return values, err
	}
	if values, err := read(e); err != nil || len(values) != 2 || values[0] != 2 || values[1] != 3 {
		t.Errorf("got %v, %v, want the roots 2 and 3", values, err)
	}
	if _, err := read(start(t)); err == nil {
		t.Error("another engine took the tensor")
	}
	kept.Drop()
	kept.Drop()
	if _, err := read(e); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v after Drop, want ErrClosed", err)
	}
	if n := Live(); n != 0 {
		t.Errorf("%d tensors live after Drop", n)
	}
}

func TestCloseFreesWhatWasKept(t *testing.T) {
	e := start(t)
	var kept *Kept
	if err := e.Do(t.Context(), func(s *Scope) error {
		kept = s.Keep(Upload(s, []float32{1}, 1))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	e.Close()
	e.Close()
	if n := Live(); n != 0 {
		t.Errorf("%d tensors live after Close", n)
	}
	kept.Drop()
	if err := e.Do(t.Context(), func(*Scope) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v after Close, want ErrClosed", err)
	}
}

func TestWithinKeepsItsResultAlone(t *testing.T) {
	e := start(t)
	if err := e.Do(t.Context(), func(s *Scope) error {
		outer := Upload(s, []float32{1, 2}, 2)
		before := Live()
		result := s.Within(func() Tensor {
			a := s.Mul(outer, outer)
			b := s.Mul(a, a)
			s.Sqrt(a)
			return b
		})
		if n := Live() - before; n != 1 {
			t.Errorf("%d tensors are left, want the result alone", n)
		}
		if got := Download[float32](s, result); len(got) != 2 || got[1] != 16 {
			t.Errorf("got %v, want 1 and 16", got)
		}
		// A tensor of the outer scope may come back; it stays valid.
		if same := s.Within(func() Tensor { s.Sqrt(outer); return outer }); same != outer {
			t.Error("the outer tensor didn't come back")
		}
		Download[float32](s, outer)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledContext(t *testing.T) {
	e := start(t)
	cause := errors.New("the user went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := e.Do(ctx, func(s *Scope) error {
		a := Upload(s, []float32{1}, 1)
		cancel(cause)
		s.Sqrt(a)
		return nil
	})
	if err != cause {
		t.Errorf("cancelled while working: got %v, want the cause", err)
	}
	if err := e.Do(ctx, func(*Scope) error { t.Error("the work ran"); return nil }); err != cause {
		t.Errorf("cancelled before: got %v, want the cause", err)
	}

	// The call of a caller that waits for the engine returns.
	started, release := make(chan struct{}), make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		e.Do(context.Background(), func(*Scope) error { close(started); <-release; return nil })
	})
	<-started
	waiting, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := e.Do(waiting, func(*Scope) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled while waiting: got %v, want DeadlineExceeded", err)
	}
	close(release)
	busy.Wait()
}

func TestNoErrorIsLostAmongGoroutines(t *testing.T) {
	e := start(t)
	module := load(t, e, odd("adder"))
	throws := load(t, e, odd("throws"))
	var callers sync.WaitGroup
	for g := range 16 {
		callers.Go(func() {
			for i := range 50 {
				wrong := (g+i)%2 == 0
				err := e.Do(context.Background(), func(s *Scope) error {
					a := Upload(s, []float32{float32(g), float32(i)}, 2)
					switch {
					case !wrong:
						got := Download[float32](s, s.Forward(module, a, a))
						if len(got) != 2 || got[0] != float32(2*g) || got[1] != float32(2*i) {
							return fmt.Errorf("the sum is %v", got)
						}
					case i%3 == 0:
						s.Forward(throws, a)
					case i%3 == 1:
						s.Forward(module, a, Upload(s, []float32{1, 2, 3}, 3))
					default:
						s.Softmax(a, 9)
					}
					return nil
				})
				if wrong != errors.Is(err, ErrLibtorch) || !wrong && err != nil {
					t.Errorf("goroutine %d, call %d: wrong %v, error %v", g, i, wrong, err)
				}
			}
		})
	}
	callers.Wait()
}

func TestCloseDuringCalls(t *testing.T) {
	e := start(t)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				err := e.Do(context.Background(), func(s *Scope) error {
					s.Keep(s.Sqrt(Upload(s, []float32{1}, 1)))
					return nil
				})
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	e.Close()
	callers.Wait()
	if n := Live(); n != 0 {
		t.Errorf("%d tensors live after Close", n)
	}
}

func TestStartRefusesNegativeThreads(t *testing.T) {
	if e, err := Start(CPU, -1); err == nil {
		e.Close()
		t.Error("-1 threads were accepted")
	}
}

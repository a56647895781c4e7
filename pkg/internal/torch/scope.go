package torch

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/sugarme/gotch/libtch"
)

// Tensor is a handle that is valid in the Scope that made it, until the scope's work
// returns. Operations return the zero Tensor after an error.
type Tensor struct{ c libtch.Ctensor }

// Scope owns the tensors of one piece of work on the engine's thread. It must not be used
// after that work, nor by another goroutine.
type Scope struct {
	engine *Engine
	ctx    context.Context
	owned  []libtch.Ctensor
	pins   runtime.Pinner // holds what Borrow reads
	err    error
}

// Err returns the scope's first error, or the cause of its context's end.
func (s *Scope) Err() error {
	if s.err == nil && s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
	}
	return s.err
}

// Context returns the scope's context.
func (s *Scope) Context() context.Context { return s.ctx }

// Until makes ctx the scope's context: its end becomes the scope's error.
func (s *Scope) Until(ctx context.Context) { s.ctx = ctx }

// Fail makes err the scope's error, unless the scope already has one.
func (s *Scope) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Device returns the engine's device.
func (s *Scope) Device() Device { return s.engine.device }

// op runs one libtorch call with one result.
func (s *Scope) op(name string, call func(out *libtch.Ctensor)) Tensor {
	var out [1]libtch.Ctensor
	s.ops(name, out[:], func(p *libtch.Ctensor) { call(p) })
	return Tensor{out[0]}
}

// ops runs one libtorch call with len(out) results.
func (s *Scope) ops(name string, out []libtch.Ctensor, call func(out *libtch.Ctensor)) {
	if s.Err() != nil {
		return
	}
	s.engine.work.operations.Add(1)
	call(&out[0])
	s.own(out...)
	if err := takeError(name); err != nil {
		s.Fail(err)
	}
}

func (s *Scope) own(tensors ...libtch.Ctensor) {
	for _, c := range tensors {
		if c != nil {
			live.Add(1)
			s.owned = append(s.owned, c)
		}
	}
}

func (s *Scope) freeFrom(mark int) {
	for _, c := range s.owned[mark:] {
		if c != nil {
			libtch.AtFree(c)
			live.Add(-1)
		}
	}
	s.owned = s.owned[:mark]
}

// Pause runs the short work that waits, and frees what was dropped. Long work calls it
// between its operations.
func (s *Scope) Pause() {
	s.engine.freeDropped()
	s.engine.runShort()
}

// Free frees a tensor of the scope before the scope's end. The tensor must not be used
// afterwards.
func (s *Scope) Free(t Tensor) {
	if at := slices.Index(s.owned, t.c); at >= 0 && t.c != nil {
		libtch.AtFree(t.c)
		live.Add(-1)
		s.owned[at] = nil // keeps its place, since Within counts
	}
}

// Within runs work, and then frees every tensor that it made, except the one that it
// returns, which stays the scope's. It bounds the memory of a loop.
func (s *Scope) Within(work func() Tensor) Tensor {
	mark := len(s.owned)
	result := work()
	at := slices.Index(s.owned[mark:], result.c)
	if result.c == nil || at < 0 {
		s.freeFrom(mark)
		return result
	}
	s.owned[mark], s.owned[mark+at] = s.owned[mark+at], s.owned[mark]
	s.freeFrom(mark + 1)
	return result
}

// Try is Within for work that may fail and then be done in another way. It returns an
// error of work instead of leaving it with the scope, and then frees all of work's
// tensors. The end of the scope's context stays an error of the scope.
func (s *Scope) Try(work func() Tensor) (Tensor, error) {
	if s.Err() != nil {
		return Tensor{}, s.err
	}
	result := s.Within(func() Tensor {
		if t := work(); s.err == nil {
			return t
		}
		return Tensor{}
	})
	err := s.err
	s.err = nil
	return result, err
}

// Kept is a tensor that outlives its scope. The engine owns it. It is freed by Drop, or
// at the latest by the engine's Close.
type Kept struct {
	engine *Engine
	c      libtch.Ctensor // used on the engine's thread only
	of     string         // what it is part of, for errors
	gone   atomic.Bool
}

// Keep moves t from the scope to the engine. It returns nil after an error.
func (s *Scope) Keep(t Tensor) *Kept {
	if s.Err() != nil {
		return nil
	}
	at := slices.Index(s.owned, t.c)
	if t.c == nil || at < 0 {
		s.Fail(fmt.Errorf("torch: keep: the tensor is not of this scope"))
		return nil
	}
	s.owned = slices.Delete(s.owned, at, at+1)
	k := &Kept{engine: s.engine, c: t.c}
	s.engine.kept[k] = struct{}{}
	return k
}

// Of notes what k is part of, such as "the queries", for the error of Use. It returns k,
// which may be nil, and is called before k is used.
func (k *Kept) Of(what string) *Kept {
	if k != nil {
		k.of = what
	}
	return k
}

// Use returns the kept tensor for the scope's work. It fails with ErrClosed if the tensor
// was dropped, and with another error if it belongs to another engine.
func (s *Scope) Use(k *Kept) Tensor {
	switch {
	case s.Err() != nil:
	case k == nil || k.engine != s.engine:
		s.Fail(fmt.Errorf("torch: the tensor was kept on another engine"))
	case k.gone.Load() || k.c == nil:
		s.Fail(fmt.Errorf("%w: %s", ErrClosed, cmp.Or(k.of, "a kept tensor")))
	default:
		return Tensor{k.c}
	}
	return Tensor{}
}

// Drop makes the engine free the kept tensor soon, and doesn't wait for it. It may be
// called more than once, on nil, from any goroutine, and after the engine's Close.
func (k *Kept) Drop() {
	if k == nil || k.gone.Swap(true) {
		return
	}
	e := k.engine
	select {
	case <-e.stopped: // and everything is freed
		return
	default:
	}
	e.mu.Lock()
	e.dropped = append(e.dropped, k)
	e.mu.Unlock()
	select {
	case e.drops <- struct{}{}:
	default: // the token is there
	}
}

// free frees the tensor. It runs on the engine's thread.
func (k *Kept) free() {
	if k.c == nil {
		return
	}
	k.gone.Store(true)
	libtch.AtFree(k.c)
	live.Add(-1)
	k.c = nil
	delete(k.engine.kept, k)
}

package torch

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/sugarme/gotch/libtch"
)

// live counts the tensors that exist in the process.
var live atomic.Int64

// Live returns the number of tensors of all engines that are not yet freed.
func Live() int64 { return live.Load() }

// Engine runs work on one device, one piece at a time, on a thread of its own. It is safe
// for concurrent use. An engine that is never closed keeps its thread and its models
// until the process ends.
type Engine struct {
	device  Device
	threads int // of one operation
	work    work
	jobs    chan job
	short   chan job
	closing chan struct{} // closed by Close: no new work is accepted
	stopped chan struct{} // closed when the thread has freed everything
	once    sync.Once

	mu      sync.Mutex
	dropped []*Kept       // not yet freed
	drops   chan struct{} // holds a token if dropped may have some

	// Only the engine's thread uses these.
	kept    map[*Kept]struct{}
	modules []libtch.Cmodule
}

type job struct {
	ctx  context.Context
	work func(*Scope) error
	done chan error
}

// Start returns an engine for a device. threads is the number of CPU threads of one
// operation of this engine; 0 is [DefaultThreads]. More threads than free processors are
// much slower than one, since they wait for each other by spinning.
//
// Start switches off TorchScript's profiling executor for the process. With it, the first
// calls of every module, and of every new shape, take twice as long.
func Start(device Device, threads int) (*Engine, error) {
	if threads < 0 {
		return nil, fmt.Errorf("torch: %d threads: the number must be positive, or 0 for the default", threads)
	}
	if threads == 0 {
		threads = DefaultThreads()
	}
	e := &Engine{
		device:  device,
		threads: threads,
		jobs:    make(chan job),
		short:   make(chan job),
		drops:   make(chan struct{}, 1),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		kept:    make(map[*Kept]struct{}),
	}
	go e.run()
	return e, nil
}

// Device returns the engine's device.
func (e *Engine) Device() Device { return e.device }

// Do runs work on the engine's thread, after waiting for its turn, and returns its error,
// or else the scope's. If ctx ends before work starts, Do returns the cause at once. If
// ctx ends later, work fails at its next operation. After Close, Do fails with ErrClosed.
// A panic of work is returned as a PanicError. work must not call Do or DoShort of the
// engine.
func (e *Engine) Do(ctx context.Context, work func(*Scope) error) error {
	return e.submit(ctx, e.jobs, work)
}

// DoShort is Do for a few operations that shouldn't wait for long work. They run before
// work that waits in Do, and within running work when that calls [Scope.Pause].
func (e *Engine) DoShort(ctx context.Context, work func(*Scope) error) error {
	return e.submit(ctx, e.short, work)
}

func (e *Engine) submit(ctx context.Context, to chan<- job, work func(*Scope) error) error {
	select { // closing and an ended context come before a free engine
	case <-e.closing:
		return ErrEngine
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	j := job{ctx: ctx, work: work, done: make(chan error, 1)}
	select {
	case to <- j:
		return <-j.done
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.closing:
		return ErrEngine
	}
}

// Close waits for the running work, fails waiting work with ErrClosed, and frees the
// modules and all kept tensors. It may be called more than once and from any goroutine.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.closing) })
	<-e.stopped
	return nil
}

func (e *Engine) run() {
	// The thread is never unlocked, so it ends with the goroutine, and libtorch's state
	// of the thread with it.
	runtime.LockOSThread()
	ended := false
	defer func() {
		if !ended { // work called runtime.Goexit: another thread takes over
			go e.run()
			return
		}
		close(e.stopped)
	}()
	prepareThread(e.threads)
	for {
		e.runShort()
		select {
		case j := <-e.short:
			e.runJob(j)
		case j := <-e.jobs:
			e.runJob(j)
		case <-e.drops:
			e.freeDropped()
		case <-e.closing:
			for k := range e.kept {
				k.free()
			}
			for _, m := range e.modules {
				libtch.AtmFree(m)
			}
			ended = true
			return
		}
	}
}

// runShort runs the short jobs that wait.
func (e *Engine) runShort() {
	for {
		select {
		case j := <-e.short:
			e.runJob(j)
		default:
			return
		}
	}
}

func (e *Engine) freeDropped() {
	e.mu.Lock()
	dropped := e.dropped
	e.dropped = nil
	e.mu.Unlock()
	for _, k := range dropped {
		k.free()
	}
}

// runJob runs one job, frees its tensors, and reports to its caller, however the work
// ends.
func (e *Engine) runJob(j job) {
	e.freeDropped()
	s := &Scope{engine: e, ctx: j.ctx}
	// It stays if the work ends its goroutine.
	var err error = &PanicError{Value: "runtime.Goexit"}
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		s.freeFrom(0)
		s.pins.Unpin()
		j.done <- err
	}()
	if err = j.work(s); err == nil {
		err = s.err
	}
}

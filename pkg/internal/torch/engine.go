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

// Live is the number of tensors of all engines that are not yet freed.
func Live() int64 { return live.Load() }

// Engine runs work on one device, one piece at a time, on a thread of its own. It
// is safe for concurrent use. Close frees it; an engine that is never closed keeps
// its thread and its models for the life of the process.
type Engine struct {
	device  Device
	threads int // of one operation
	work    work
	jobs    chan job
	short   chan job
	closing chan struct{} // closed by Close: no new work
	stopped chan struct{} // closed when the thread has freed everything
	once    sync.Once

	mu      sync.Mutex
	dropped []*Kept       // not yet freed
	drops   chan struct{} // holds one token if dropped may have some

	// The rest belongs to the engine's thread.
	kept    map[*Kept]struct{}
	modules []libtch.Cmodule
}

type job struct {
	ctx  context.Context
	work func(*Scope) error
	done chan error
}

// Start makes an engine for a device. threads is the number of CPU threads that
// one operation may use; 0 is [DefaultThreads]. The number is this engine's alone,
// whatever others are started with. More threads than free processors are much slower
// than one, since they wait for each other by spinning.
//
// It switches off, for the process, the profiling executor of TorchScript: with it
// the first calls of every module, and of every new shape, take twice as long.
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

// Device is the device that the engine was started for.
func (e *Engine) Device() Device { return e.device }

// Do runs work on the engine's thread and returns its error, or else the scope's. It
// waits for its turn. If ctx ends before, Do returns the cause at once; work that has
// started sees the end at its next operation. After Close it fails with ErrClosed. A panic
// of work is returned as a PanicError. work must not call Do or DoShort of the engine.
func (e *Engine) Do(ctx context.Context, work func(*Scope) error) error {
	return e.submit(ctx, e.jobs, work)
}

// DoShort is Do for work of a few operations that shouldn't wait for long work: it runs
// before what waits in Do, and within running work whenever that calls [Scope.Pause].
func (e *Engine) DoShort(ctx context.Context, work func(*Scope) error) error {
	return e.submit(ctx, e.short, work)
}

func (e *Engine) submit(ctx context.Context, to chan<- job, work func(*Scope) error) error {
	select { // a closed engine or an ended context wins over a free engine
	case <-e.closing:
		return ErrClosed
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
		return ErrClosed
	}
}

// Close lets the running work end, refuses what waits, and frees the modules and
// all that was kept. It may be called more than once and from any goroutine.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.closing) })
	<-e.stopped
	return nil
}

func (e *Engine) run() {
	// The thread is never unlocked: it ends with the goroutine, and libtorch's
	// thread-local state with it.
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

// freeDropped frees the tensors that were dropped.
func (e *Engine) freeDropped() {
	e.mu.Lock()
	dropped := e.dropped
	e.dropped = nil
	e.mu.Unlock()
	for _, k := range dropped {
		k.free()
	}
}

// runJob runs one job, frees the tensors that it made, and tells its caller, however the
// work ends.
func (e *Engine) runJob(j job) {
	e.freeDropped()
	s := &Scope{engine: e, ctx: j.ctx}
	var err error = &PanicError{Value: "runtime.Goexit"} // stays if the work ends its goroutine
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		s.freeFrom(0)
		j.done <- err
	}()
	if err = j.work(s); err == nil {
		err = s.err
	}
}

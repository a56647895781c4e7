package detect

import (
	"context"
	"fmt"
	"image"
	"iter"
	"runtime/debug"
	"sync"
	"time"
)

// lookAhead is the number of pictures that a stream reads ahead, in addition to those
// that the engine takes together.
const lookAhead = 2

// DetectAll finds the queries in a stream of pictures. It yields one result or error for
// each picture, in order. An error that images yields, such as for a file that can't be
// decoded, is yielded in the place of its picture, and the next picture follows.
//
// images runs on a goroutine of its own, so that its decoding, the detection, and the
// caller's work on results overlap. It runs up to Options.ImageBatch + 3 pictures ahead.
// If images panics or ends its goroutine, the last yield is an ErrPanic, after the
// results of the pictures before. If Options.Logger or a picture's own methods panic, the
// picture's error is an ErrPanic.
//
// A *pixels.RGB isn't copied, so it must not be changed before its result is yielded.
// Other images may be changed as soon as the yield of images has returned.
//
// If ctx ends, the last yield is its cause, at once. The caller may also leave the loop
// early. In both cases DetectAll returns after images has returned, so that none of the
// caller's code runs on. A stream that may block must watch ctx too. After d.Close, the
// next pictures fail with ErrClosed.
func (d *Detector) DetectAll(ctx context.Context, images iter.Seq2[image.Image, error], queries *Queries, params Params) iter.Seq2[*Result, error] {
	m, wrong := d.matching(queries, params)
	return func(yield func(*Result, error) bool) {
		stop, cancel := context.WithCancel(ctx)
		ahead := make(chan chan answer, lookAhead+d.options.ImageBatch)
		var pictures sync.WaitGroup
		go d.readAhead(stop, images, ahead, func(t *task, err error, next chan<- answer) {
			if err == nil {
				err = wrong
			}
			if err == nil {
				err = d.ask(t, &m)
			}
			if err == nil {
				d.queue.add(t) // here, so that pictures are taken in order
			}
			pictures.Go(func() { d.answer(ctx, t, err, next) })
		})
		defer func() {
			cancel()
			for range ahead { // until images has ended
			}
			pictures.Wait()
		}()
		for {
			next, more := receive(ctx, ahead)
			if !more {
				break
			}
			a, arrived := receive(ctx, next)
			if !arrived {
				break
			}
			if !yield(a.result, a.err) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(nil, context.Cause(ctx))
		}
	}
}

// answer is what DetectAll yields for a picture.
type answer struct {
	result *Result
	err    error
}

// receive returns the next value. It reports false if the channel is closed or ctx ends.
func receive[T any](ctx context.Context, in <-chan T) (v T, ok bool) {
	select {
	case v, ok = <-in:
	case <-ctx.Done():
	}
	return v, ok
}

// readAhead sends a channel for the answer of each picture, in order, and starts its
// task. The capacity of ahead bounds how far it reads.
func (d *Detector) readAhead(ctx context.Context, images iter.Seq2[image.Image, error], ahead chan<- chan answer, start func(*task, error, chan<- answer)) {
	defer close(ahead)
	send := func() (next chan answer, ok bool) {
		next = make(chan answer, 1)
		select {
		case ahead <- next:
			return next, true
		case <-ctx.Done():
			return nil, false
		}
	}
	panicked := &PanicError{Value: "runtime.Goexit"} // if images ends the goroutine
	defer func() {
		if p := recover(); p != nil {
			panicked = &PanicError{Value: p, Stack: debug.Stack()}
		}
		if panicked != nil {
			if next, ok := send(); ok {
				next <- answer{err: fmt.Errorf("detect: the stream of images: %w", panicked)}
			}
		}
	}()
	for img, err := range images {
		var t *task
		if err == nil {
			t, err = d.prepare(ctx, img)
		}
		next, ok := send()
		if !ok {
			break
		}
		start(t, err, next)
	}
	panicked = nil
}

// answer sends the result of a task, or failed if that isn't nil. If the logger panics,
// or a method of the stream's error, the panic is the picture's error.
func (d *Detector) answer(ctx context.Context, t *task, failed error, next chan<- answer) {
	a, since := answer{err: failed}, time.Now()
	panicked := &PanicError{Value: "runtime.Goexit"}
	defer func() {
		if p := recover(); p != nil {
			panicked = &PanicError{Value: p, Stack: debug.Stack()}
		}
		if panicked != nil {
			a = answer{err: fmt.Errorf("detect: %w", panicked)}
		}
		next <- a
	}()
	if failed == nil {
		a.result, a.err = d.detect(t)
	}
	d.callEnds(ctx, "DetectAll", since, &a.err)
	panicked = nil
}

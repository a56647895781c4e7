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
// caller's code runs on, except in goroutines that images itself started and left, such as
// a decode of [pixels.DecodeAhead] that doesn't watch its context. A stream that may block
// must watch ctx too. After d.Close, the next pictures fail with ErrClosed.
func (d *Detector) DetectAll(ctx context.Context, images iter.Seq2[image.Image, error], queries *Queries, params Params) iter.Seq2[*Result, error] {
	m, wrong := d.matching(queries, params)
	return inOrder(ctx, d, images, call[*Result]{
		name: "DetectAll",
		submit: func(t *task) error {
			if wrong != nil {
				return wrong
			}
			if err := d.ask(t, &m); err != nil {
				return err
			}
			d.queue.add(t)
			return nil
		},
		finish: d.detect,
		drop:   func(*Result) {},
	})
}

// RegionsAll is [Detector.Regions] for a stream of pictures. It yields the regions of one
// picture, or an error, for each picture, in order, and keeps the promises of
// [Detector.DetectAll]. The caller closes the Regions that were yielded.
func (d *Detector) RegionsAll(ctx context.Context, images iter.Seq2[image.Image, error]) iter.Seq2[*Regions, error] {
	return inOrder(ctx, d, images, call[*Regions]{
		name:   "RegionsAll",
		submit: func(t *task) error { d.queue.add(t); return nil },
		finish: d.embed,
		drop:   (*Regions).Close,
	})
}

// call is what a stream does with each picture.
type call[T any] struct {
	name   string
	submit func(*task) error // in the order of the pictures
	finish func(*task) (T, error)
	drop   func(T) // an answer that nobody takes
}

// inOrder yields the answer to each picture, in order.
func inOrder[T any](ctx context.Context, d *Detector, images iter.Seq2[image.Image, error], c call[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		stop, cancel := context.WithCancel(ctx)
		ahead := make(chan chan answer[T], lookAhead+d.options.ImageBatch)
		var pictures sync.WaitGroup
		go readAhead(stop, d, images, ahead, func(t *task, err error, next chan<- answer[T]) {
			if err == nil {
				err = c.submit(t) // here, so that pictures are taken in order
			}
			pictures.Go(func() { c.answer(stop, d, t, err, next) })
		})
		var next chan answer[T] // the answer that is waited for
		defer func() {
			cancel()
			left := []chan answer[T]{next}
			for next := range ahead { // until images has ended
				left = append(left, next)
			}
			pictures.Wait()
			for _, next := range left {
				select {
				case a := <-next:
					if a.err == nil {
						c.drop(a.value)
					}
				default: // it was yielded
				}
			}
		}()
		for {
			var more bool
			if next, more = receive(ctx, ahead); !more {
				break
			}
			a, arrived := receive(ctx, next)
			if !arrived {
				break
			}
			if !yield(a.value, a.err) {
				return
			}
		}
		if ctx.Err() != nil {
			var none T
			yield(none, context.Cause(ctx))
		}
	}
}

// answer is what a stream yields for a picture.
type answer[T any] struct {
	value T
	err   error
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
func readAhead[T any](ctx context.Context, d *Detector, images iter.Seq2[image.Image, error], ahead chan<- chan answer[T], start func(*task, error, chan<- answer[T])) {
	defer close(ahead)
	send := func() (next chan answer[T], ok bool) {
		next = make(chan answer[T], 1)
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
				next <- answer[T]{err: fmt.Errorf("detect: the stream of images: %w", panicked)}
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
func (c call[T]) answer(ctx context.Context, d *Detector, t *task, failed error, next chan<- answer[T]) {
	a, since := answer[T]{err: failed}, time.Now()
	panicked := &PanicError{Value: "runtime.Goexit"}
	defer func() {
		if p := recover(); p != nil {
			panicked = &PanicError{Value: p, Stack: debug.Stack()}
		}
		if panicked != nil {
			if a.err == nil {
				c.drop(a.value)
			}
			a = answer[T]{err: fmt.Errorf("detect: %w", panicked)}
		}
		next <- a
	}()
	if failed == nil {
		a.value, a.err = c.finish(t)
	}
	d.callEnds(ctx, c.name, since, &a.err)
	panicked = nil
}

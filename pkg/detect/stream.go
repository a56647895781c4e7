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

// lookAhead is how many pictures a stream is ahead, besides those that the engine takes
// together.
const lookAhead = 2

// DetectAll finds the queries in a stream of pictures and yields, in order, one
// result or error for each. An error that images yields, say of a file that can't be
// decoded, is yielded in its picture's place, and the next picture follows.
//
// images runs on a goroutine of its own, so that its decoding, the detection and the
// caller's work on results overlap. It reads a few pictures ahead: as many as
// Options.ImageBatch, and three more. If images panics or ends its goroutine, the last yield
// is an ErrPanic, after the results of the pictures before. If Options.Logger or a
// picture's own methods panic, that is the picture's error.
//
// A *pixels.RGB isn't copied: it must not be changed before its result is yielded. Other
// images may be changed as soon as yield has returned.
//
// If ctx ends, the last yield is its error, at once. A caller may stop early. In both
// cases DetectAll returns when images has returned, so that nothing of the caller's runs
// unseen: a stream that may block has to watch ctx too. After d.Close each picture that
// comes gives ErrClosed.
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
				t.matching = &m
				d.queue.add(t) // here, so that pictures are taken in their order
			}
			pictures.Go(func() { d.answer(ctx, t, err, next) })
		})
		defer func() {
			cancel()
			for range ahead { // ends when images has ended
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

// receive returns what comes next. It reports false if the channel is closed or the
// context has ended.
func receive[T any](ctx context.Context, in <-chan T) (v T, ok bool) {
	select {
	case v, ok = <-in:
	case <-ctx.Done():
	}
	return v, ok
}

// readAhead makes a task of each picture and starts it, and sends a channel for each
// answer, in the pictures' order. The capacity of ahead bounds how far it reads.
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
	panicked := &PanicError{Value: "runtime.Goexit"} // stays if images ends the goroutine
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

// answer sends the result of a task, or the error if it failed before it was started. A
// panic of the logger, or of the methods of the stream's error, is the picture's error.
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

package pixels

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"runtime/debug"
)

// ErrPanic is returned if code of the caller panicked, or called runtime.Goexit, on a
// goroutine of the library. The error is always a PanicError.
var ErrPanic = errors.New("panic")

// PanicError is a panic of the caller's code that became the error of a call. It is an
// ErrPanic.
type PanicError struct {
	Value any    // of the panic; "runtime.Goexit" if its goroutine ended
	Stack []byte // of runtime/debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap returns ErrPanic.
func (e *PanicError) Unwrap() error { return ErrPanic }

// DecodeAhead returns a sequence of the pictures of sources, or their errors, in order, as
// detect.Detector.DetectAll takes it. While one is taken, decode is called concurrently for
// up to ahead further ones, which also bounds the pictures that wait in memory. If decode
// panics, its picture's error is an ErrPanic.
//
// The sequence ends early if ctx is done, also while decode still works. decode's own
// context has then ended, as it has after the loop. A decode that doesn't watch it runs on
// until it returns, and its picture is dropped.
func DecodeAhead[S any](ctx context.Context, sources []S, ahead int, decode func(context.Context, S) (*RGB, error)) iter.Seq2[image.Image, error] {
	type decoded struct {
		picture *RGB
		err     error
	}
	return func(yield func(image.Image, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pending := make(chan chan decoded, max(0, ahead))
		go func() {
			defer close(pending)
			for _, source := range sources {
				done := make(chan decoded, 1)
				select {
				case pending <- done:
				case <-ctx.Done():
					return
				}
				go func() {
					d := decoded{err: &PanicError{Value: "runtime.Goexit"}} // if decode ends the goroutine
					defer func() {
						if p := recover(); p != nil {
							d.err = &PanicError{Value: p, Stack: debug.Stack()}
						}
						done <- d
					}()
					d.picture, d.err = decode(ctx, source)
				}()
			}
		}()
		for done := range pending {
			var d decoded
			select {
			case d = <-done:
			case <-ctx.Done(): // decode may never end
				return
			}
			var picture image.Image // not a typed nil
			if d.err == nil {
				picture = d.picture
			}
			if !yield(picture, d.err) {
				return
			}
		}
	}
}
